"""Share a budget of tokens by weights, between a floor and a capacity of each stream.

What one stream cannot take goes to the others in proportion to their weights. With weights (tokens)
** exponent this is XLM-R's smoothing (Conneau et al. 2019) under an epoch cap; with equal weights
it is UniMax (Chung et al. 2023, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Mapping

from polylm_core.rounding import largest_remainder


def fill(
    budget_tokens: int,
    weights: Mapping[str, float],
    *,
    capacity: Mapping[str, int],
    floors: Mapping[str, int],
) -> dict[str, int]:
    """Split a budget: `level` * weight each, kept between floor and capacity, adding to the budget.

    The floors must add to at most the budget and the capacities to at least that (`lacking` finds
    those that do not).
    """
    level = _level(budget_tokens, weights, capacity, floors)
    exact = {
        name: min(max(level * weight, floors.get(name, 0)), capacity[name])
        for name, weight in weights.items()
    }
    return largest_remainder(exact, budget_tokens)


def proportional(budget_tokens: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Split a budget by weights alone."""
    whole = sum(weights.values())
    exact = {name: budget_tokens * weight / whole for name, weight in weights.items()}
    return largest_remainder(exact, budget_tokens)


def lacking(demand: Mapping[str, int], capacity: Mapping[str, int]) -> dict[str, int]:
    """Tokens that each stream is short of what is asked of it, for those that are."""
    return {
        name: tokens - capacity[name] for name, tokens in demand.items() if tokens > capacity[name]
    }


def _level(
    budget_tokens: int,
    weights: Mapping[str, float],
    capacity: Mapping[str, int],
    floors: Mapping[str, int],
) -> float:
    """The level at which the streams take the budget.

    The sum taken grows with the level and bends only where a stream leaves its floor or meets its
    capacity, so the bend below the budget is looked up and the rest is a division.
    """
    open_weights = {name: weight for name, weight in weights.items() if weight > 0}

    def taken(level: float) -> float:
        return sum(
            min(max(level * weight, floors.get(name, 0)), capacity[name])
            for name, weight in weights.items()
        )

    bends = {
        limit / weight
        for name, weight in open_weights.items()
        for limit in (floors.get(name, 0), capacity[name])
    }
    below = max((bend for bend in bends if taken(bend) <= budget_tokens), default=0.0)
    # Asked of the bends themselves: `below * weight` may round to just under a limit it has met.
    growing = sum(
        weight
        for name, weight in open_weights.items()
        if floors.get(name, 0) / weight <= below < capacity[name] / weight
    )
    return below + (budget_tokens - taken(below)) / growing if growing else below
