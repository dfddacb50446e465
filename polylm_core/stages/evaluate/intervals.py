"""95 % intervals, all seeded: Wilson's for shares, the bootstrap for everything else."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

Z_95 = 1.959964
"""Standard normal quantile of 0.975."""


def wilson(successes: float, items: int) -> tuple[float, float]:
    """Interval of a share (Wilson 1927): unlike the standard error's it has a width at 0 and 1."""
    share, z2 = successes / items, Z_95**2
    centre = (share + z2 / (2 * items)) / (1 + z2 / items)
    spread = math.sqrt(share * (1 - share) / items + z2 / (4 * items**2))
    half = Z_95 * spread / (1 + z2 / items)
    # At 0 and 1 the bound is exact, but not after rounding.
    return max(0.0, centre - half), min(1.0, centre + half)


def resamples(items: int, samples: int, *seed: object) -> npt.NDArray[np.int64]:
    """Indices of `samples` draws of `items` with replacement, shape (samples, items)."""
    digest = hashlib.sha256("\0".join(map(str, seed)).encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    return generator.integers(0, items, size=(samples, items))


def percentile_interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of bootstrap values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
