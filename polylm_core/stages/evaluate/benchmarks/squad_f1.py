"""SQuAD's exact match and F1 (Rajpurkar et al. 2016, arXiv 1606.05250, section 6.1).

Of the first published answer, as in lm-evaluation-harness. Words are what stands between spaces:
in Chinese, Japanese and Thai an answer is nearly one word, and F1 nearly exact match.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")


def score_answer(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score what a model wrote against the item's first answer; both are from 0 to 1."""
    words = _words(results[0])
    expected = _words(doc["answers"]["text"][0])
    common = sum((Counter(words) & Counter(expected)).values())
    if not words or not expected:
        f1 = float(words == expected)
    else:
        f1 = 2 * common / (len(words) + len(expected))
    return {"f1": f1, "exact_match": float(words == expected)}


def _words(text: str) -> list[str]:
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()
