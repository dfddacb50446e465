"""Whether two implementations of the same rules decide alike, document by document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Verdicts = Mapping[str, Mapping[str, str | None]]
"""By document id: by filter, the reason it would drop the document for; None where it keeps it."""


@dataclass(frozen=True)
class Agreement:
    """How often both sides decide alike, over documents and filters."""

    decisions: int
    equal: int
    equal_reasons: int
    dropped: int
    """Decisions of the second side that drop: without any, agreement would say nothing."""
    by_filter: Mapping[str, float]
    differences: Sequence[tuple[str, str, str | None, str | None]]
    """Document, filter, reason of the first side, reason of the second; the first twenty."""

    @property
    def share(self) -> float:
        """Equal decisions, of all."""
        return self.equal / self.decisions if self.decisions else 0.0


def verdicts(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str | None]]:
    """Return the rows of `run_datatrove.py decisions` by document."""
    return {row["id"]: row["reasons"] for row in rows}


def compare(ours: Verdicts, peers: Verdicts) -> Agreement:
    """Compare the filters that both sides have on the documents of the peer.

    Raises KeyError for a document that ours did not judge.
    """
    decisions, equal = Counter[str](), Counter[str]()
    equal_reasons = dropped = 0
    differences: list[tuple[str, str, str | None, str | None]] = []
    for identifier, theirs in peers.items():
        mine = ours[identifier]
        for name in theirs.keys() & mine.keys():
            decisions[name] += 1
            dropped += theirs[name] is not None
            if (mine[name] is None) == (theirs[name] is None):
                equal[name] += 1
                equal_reasons += mine[name] == theirs[name]
            elif len(differences) < 20:
                differences.append((identifier, name, mine[name], theirs[name]))
    return Agreement(
        decisions=decisions.total(),
        equal=equal.total(),
        equal_reasons=equal_reasons,
        dropped=dropped,
        by_filter={name: equal[name] / count for name, count in sorted(decisions.items())},
        differences=differences,
    )
