"""What a judge's words rate an answer, and the means of such ratings with their intervals.

Single-answer grading of MT-bench (Zheng et al. 2023, arXiv 2306.05685): the judge explains and ends
with "Rating: [[n]]", n from 1 to 10. TaCo (arXiv 2311.10797) grades the 80 Vicuna questions so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from polylm_core.stages.evaluate.intervals import percentile_interval, resamples

LOWEST, HIGHEST = 1.0, 10.0
"""The scale the judge is told."""

_MARKS = (re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]"))
"""FastChat's two patterns (fastchat/llm_judge/common.py); the second where the first finds none."""


def parse_rating(judgement: str) -> float | None:
    """The first rating a judgement holds; none when it holds none, or one that is off the scale."""
    for mark in _MARKS:
        found = mark.search(judgement)
        if found is not None:
            rating = float(found[1])
            return rating if LOWEST <= rating <= HIGHEST else None
    return None


def mean_rating(
    ratings: Sequence[float], *, samples: int, seed: tuple[object, ...]
) -> tuple[float, float, float]:
    """Mean of at least one rating, and its 95 % bootstrap interval over the questions."""
    values = np.array(ratings)
    draws = resamples(len(values), samples, *seed)
    low, high = percentile_interval(values[draws].mean(axis=1))
    return float(values.mean()), low, high
