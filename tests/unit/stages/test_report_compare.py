"""Differences of two scores, and figures of the papers beside ours."""

from __future__ import annotations

from typing import Any

import pytest

from polylm_core.stages.report import metrics
from polylm_core.stages.report.compare import difference


def score(value: float, low: float | None, high: float | None, **more: Any) -> dict[str, Any]:
    row = {"model": "base", "suite": "xcopa", "metric": "acc", "language": "ind_Latn"}
    return row | {"value": value, "low": low, "high": high, "items": 500, "baseline": 0.5} | more


def test_a_difference_has_the_limits_that_newcombe_published() -> None:
    """Table II (a) of Newcombe 1998: 56 of 70 and 48 of 80, method 10: 0.0524 to 0.3339."""
    first, second = score(0.8, 0.6921, 0.8774), score(0.6, 0.4905, 0.7004)
    found = difference(first, second)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=3e-3)
    assert found.is_sure


def test_a_difference_that_may_be_nothing_is_not_sure() -> None:
    assert not difference(score(0.52, 0.47, 0.57), score(0.50, 0.45, 0.55)).is_sure
    assert not difference(score(0.9, None, None), score(0.1, 0.05, 0.15)).is_sure


@pytest.mark.parametrize(
    ("low", "said"), [(0.51, "above chance"), (0.5, "not above chance"), (0.4, "not above chance")]
)
def test_an_unknown_accuracy_is_judged_beside_chance(low: float, said: str) -> None:
    row = score(0.55, low, 0.6)
    assert metrics.verdict(row) == said
    assert metrics.cells(row)[1] == "55.0 %"


def test_fewer_bits_are_better() -> None:
    row = score(2.0, 1.9, 2.1, metric="bits_per_byte", baseline=3.0)
    assert metrics.verdict(row) == "better than counting tokens"
    assert metrics.verdict(row | {"high": 3.1}) == "no better than counting tokens"
