"""The price by which a run holds its budget: the profile's own, or the table's."""

from __future__ import annotations

from polylm_core.cli.planning.cost import usd_per_rank_hour
from polylm_core.cli.planning.prices import load_prices
from polylm_core.errors import ParamsError, Problem
from polylm_core.settings import Profile


def with_price(profile: Profile) -> Profile:
    """Return the profile with what an hour of a rank costs, if it has a budget.

    Raises ParamsError when neither it nor the shipped table of prices says so.
    """
    training = profile.training
    if training.budget is None or training.budget.usd_per_worker_hour is not None:
        return profile
    accelerator = profile.hardware.accelerator
    machine = load_prices().accelerators.get(accelerator) if accelerator else None
    price = usd_per_rank_hour(profile, machine)
    if not price:
        message = (
            "no price is known for hardware.accelerator of the profile: state what an hour of a "
            "rank costs, or take training.budget out"
        )
        place = "training.budget.usd_per_worker_hour"
        raise ParamsError("the profile", [Problem(place, message, accelerator)])
    budget = training.budget.model_copy(update={"usd_per_worker_hour": price})
    return profile.model_copy(update={"training": training.model_copy(update={"budget": budget})})
