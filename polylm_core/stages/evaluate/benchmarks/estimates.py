"""Value and 95 % interval of a metric from the values of the items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from polylm_core.stages.evaluate.benchmarks.sentence_metrics import CORPUS
from polylm_core.stages.evaluate.intervals import percentile_interval, resamples, wilson

Estimate = Callable[[Sequence[Any], int, int], tuple[float, float, float]]
"""Value and 95 % interval (low, high) from each item's value as the harness returns it, the number
of bootstrap samples and the seed. The value has to be the harness's own."""


def share(values: Sequence[float], samples: int, seed: int) -> tuple[float, float, float]:
    """Share of the items that are right, with Wilson's interval."""
    del samples, seed
    low, high = wilson(sum(values), len(values))
    return sum(values) / len(values), low, high


def mean(values: Sequence[float], samples: int, seed: int) -> tuple[float, float, float]:
    """Mean of the items' values, with the bootstrap's interval."""
    numbers = np.asarray(values, dtype=np.float64)
    drawn = numbers[resamples(len(numbers), samples, seed, "mean")].mean(axis=1)
    low, high = percentile_interval(drawn)
    return float(numbers.mean()), low, high


ESTIMATES: Mapping[str, Estimate] = {"share": share, "mean": mean, **CORPUS}
"""By the name that the catalogue uses."""
