"""What the set is composed of: caps by language, and shares of Chinese, English, cross-lingual.

In: all instructions made. Out: those that stay, and in the funnel a reason for each that does not:
`over-the-language-cap`, `in-no-share`, or `limited-by-<part>`, which names the part that had too
few rows for its share. Which rows stay is drawn by their ids.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polylm_core.errors import StageError
from polylm_core.records import Instruction
from polylm_core.rounding import largest_remainder
from polylm_core.stages.instruct.parts_config import CROSS_LINGUAL, CompositionConfig
from polylm_core.stages.instruct.selection import Harvest, in_drawn_order

OVER_THE_CAP = "over-the-language-cap"
IN_NO_SHARE = "in-no-share"


@dataclass(frozen=True, slots=True)
class Division:
    """How many rows each part gives, and which part had too few for more."""

    rows: Mapping[str, int]
    available: Mapping[str, int]
    limited_by: str | None
    """None where all rows stay."""

    def as_counts(self) -> dict[str, object]:
        """What the manifest keeps."""
        return {
            "rows": dict(self.rows),
            "available": dict(self.available),
            "limited_by": self.limited_by,
        }

    def describe(self, shares: Mapping[str, float]) -> str:
        """What the set is composed of, and what kept it from being larger, in one line."""
        total = max(1, sum(self.rows.values()))
        parts = ", ".join(
            f"{name} {self.rows[name]:,} of {self.available[name]:,} rows "
            f"({self.rows[name] / total:.1%}; share {share:.1%})"
            for name, share in shares.items()
        )
        limit = "" if self.limited_by is None else f"; limited by {self.limited_by}"
        return f"composition: {parts}{limit}"


def compose(
    harvest: Harvest, config: CompositionConfig, seed: int
) -> tuple[Harvest, Division | None]:
    """Apply the caps, then the shares; the second is none where no shares are asked for.

    Raises StageError for a share of something of which there is nothing.
    """
    made = Harvest()
    made.add(harvest)
    made.drop(_over_the_caps(made.instructions, config, seed))
    if not config.shares:
        return made, None
    parts: dict[str, list[int]] = {name: [] for name in config.shares}
    dropped: dict[int, str] = {}
    for number, row in enumerate(made.instructions):
        part = CROSS_LINGUAL if row.origin == CROSS_LINGUAL else row.language
        if part in parts:
            parts[part].append(number)
        else:
            dropped[number] = IN_NO_SHARE
    available = {name: len(members) for name, members in parts.items()}
    for name, number in available.items():
        if not number:
            raise StageError(
                f"composition.shares asks for {config.shares[name]:.1%} of {name}, of which there "
                "is no instruction; make some, or leave it out of the shares"
            )
    division = divide(available, config.shares, config.share_tolerance)
    for name, members in parts.items():
        drawn = in_drawn_order(members, seed, lambda number: made.instructions[number].id)
        for number in drawn[division.rows[name] :]:
            dropped[number] = f"limited-by-{division.limited_by}"
    made.drop(dropped)
    return made, division


def divide(available: Mapping[str, int], shares: Mapping[str, float], tolerance: float) -> Division:
    """The largest set of which each part has its share, give or take the tolerance.

    A part is rounded to a neighbouring whole number. With all rows that there are within the
    tolerance, nothing limits it.
    """
    in_all = sum(available.values())
    low, high = 0.0, float(in_all)
    if _is_possible(high, available, shares, tolerance):
        low = high
    for _ in range(64):  # whatever holds for a set holds for each smaller one
        middle = (low + high) / 2
        if _is_possible(middle, available, shares, tolerance):
            low = middle
        else:
            high = middle
    total = int(low + 1e-6)
    rows = _filled(total, available, shares, tolerance)
    if sum(rows.values()) == in_all:
        return Division(rows, available, None)
    scarcest = min(shares, key=lambda name: (available[name] / shares[name], name))
    return Division(rows, available, scarcest)


def _is_possible(
    total: float, available: Mapping[str, int], shares: Mapping[str, float], tolerance: float
) -> bool:
    """Whether a set of so many rows has each part within its bounds and what there is."""
    most = sum(min(available[name], (share + tolerance) * total) for name, share in shares.items())
    enough = all(
        available[name] >= (share - tolerance) * total - 1e-9 for name, share in shares.items()
    )
    return enough and most >= total * sum(shares.values()) - 1e-6


def _filled(
    total: int, available: Mapping[str, int], shares: Mapping[str, float], tolerance: float
) -> dict[str, int]:
    """Rows of each part: its share as far as there are rows, the rest by shares to the others."""
    exact = {name: share / sum(shares.values()) * total for name, share in shares.items()}
    rows = {
        name: min(available[name], number)
        for name, number in largest_remainder(exact, total).items()
    }
    most = {
        name: min(available[name], math.ceil((share + tolerance) * total))
        for name, share in shares.items()
    }
    while (missing := total - sum(rows.values())) > 0:
        room = {name: most[name] - rows[name] for name in rows if most[name] > rows[name]}
        if not room:
            break
        weight = sum(shares[name] for name in room)
        for name in sorted(room, key=lambda name: (-shares[name], name)):
            wanted = math.ceil(missing * shares[name] / weight)
            rows[name] += min(wanted, room[name], total - sum(rows.values()))
    return rows


def _over_the_caps(
    rows: Sequence[Instruction], config: CompositionConfig, seed: int
) -> dict[int, str]:
    """Numbers of the rows beyond what their language may have."""
    over: dict[int, str] = {}
    taken: Counter[str] = Counter()
    for number in in_drawn_order(range(len(rows)), seed, lambda number: rows[number].id):
        language = rows[number].language
        most = config.max_by_language.get(language, config.max_per_language)
        if most is not None and taken[language] >= most:
            over[number] = OVER_THE_CAP
        else:
            taken[language] += 1
    return over
