"""A budget needs a price: the profile's own, or the table's for its accelerators."""

from __future__ import annotations

import pytest

from polylm_core.cli import demands
from polylm_core.cli.planning.ceiling import with_price
from polylm_core.cli.planning.prices import load_prices
from polylm_core.compute import backend
from polylm_core.errors import ParamsError
from polylm_core.settings import Budget, Hardware, Profile, TrainingExecution


def profile(
    accelerator: str | None, *, spot_share: float = 0.0, usd_per_worker_hour: float | None = None
) -> Profile:
    budget = Budget(max_usd=100, usd_per_worker_hour=usd_per_worker_hour)
    return Profile(
        training=TrainingExecution(budget=budget),
        hardware=Hardware(accelerator=accelerator, spot_share=spot_share),
    )


def price(found: Profile) -> float | None:
    budget = with_price(found).training.budget
    assert budget is not None
    return budget.usd_per_worker_hour


def test_the_price_of_a_rank_is_the_table_s_by_the_share_at_the_spot_price() -> None:
    a100 = load_prices().accelerators["a100-80gb"]
    assert a100.usd_per_hour is not None
    assert a100.spot_usd_per_hour is not None
    assert price(profile("a100-80gb")) == a100.usd_per_hour
    assert price(profile("a100-80gb", spot_share=1)) == a100.spot_usd_per_hour
    assert price(profile("a100-80gb", spot_share=1, usd_per_worker_hour=0.5)) == 0.5


@pytest.mark.parametrize("accelerator", [None, "abacus"])
def test_a_budget_without_a_price_is_refused_before_anything_runs(accelerator: str | None) -> None:
    with pytest.raises(ParamsError, match=r"usd_per_worker_hour: no price is known"):
        with_price(profile(accelerator))


def test_a_profile_without_a_budget_needs_no_price() -> None:
    assert with_price(Profile()) == Profile()


def test_a_cluster_s_profile_without_a_cluster_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend.os, "cpu_count", lambda: 2)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    wide = Profile(map_backend="ray", map_workers=256)
    problem = demands.processors(wide).problem
    assert problem is not None
    assert "names none" in problem
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert demands.processors(wide).problem is None
