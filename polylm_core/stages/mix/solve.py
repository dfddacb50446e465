"""Solve a curriculum in tokens: shares by (tokens) ** exponent under an epoch cap.

XLM-R's smoothing (Conneau et al. 2019) gives small languages more than their share of the text; the
cap keeps the smallest from being repeated without end, as UniMax does (Chung et al. 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from polylm_core.errors import StageError
from polylm_core.rounding import largest_remainder


@dataclass(frozen=True)
class Draw:
    """Tokens drawn from one stream in one curriculum stage."""

    tokens: int
    epochs: float


def share(
    budget_tokens: int,
    available: Mapping[str, int],
    *,
    exponent: float,
    max_epochs: float,
    what: str,
) -> dict[str, Draw]:
    """Split a budget over streams: proportional to size ** exponent, none past its epoch cap.

    What a capped stream cannot take goes to the others, in the same proportion. Raises StageError
    when all streams together, repeated `max_epochs` times, hold less than the budget.
    """
    capacity = {name: int(size * max_epochs) for name, size in available.items()}
    if budget_tokens > sum(capacity.values()):
        raise StageError(
            f"{what}: {budget_tokens:,} tokens are asked for, but {sum(available.values()):,} "
            f"tokens repeated at most {max_epochs:g} times give {sum(capacity.values()):,}; "
            "lower mix.tokens or the share, raise mix.max_epochs, or add text"
        )
    drawn: dict[str, int] = {}
    left, open_streams = budget_tokens, sorted(available)
    while open_streams:
        weight = sum(available[name] ** exponent for name in open_streams)
        offer = {name: left * available[name] ** exponent / weight for name in open_streams}
        full = [name for name in open_streams if offer[name] >= capacity[name]]
        if not full:
            drawn |= largest_remainder(offer, left)
            break
        for name in full:
            drawn[name] = capacity[name]
            left -= capacity[name]
        open_streams = [name for name in open_streams if name not in full]
    return {
        name: Draw(tokens, round(tokens / available[name], 6))
        for name, tokens in sorted(drawn.items())
    }
