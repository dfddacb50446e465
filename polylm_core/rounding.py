"""Shares to whole numbers."""

from __future__ import annotations

from collections.abc import Mapping


def largest_remainder(exact: Mapping[str, float], total: int) -> dict[str, int]:
    """Round shares that add to `total` to integers that add to it (Hamilton's method).

    What is left after rounding down goes to the largest remainders, then by name.
    """
    whole = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (whole[name] - exact[name], name))
    for name in by_remainder[: total - sum(whole.values())]:
        whole[name] += 1
    return whole
