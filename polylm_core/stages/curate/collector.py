"""Rows on their way through the filters of one unit, with the books of what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from polylm_core.stages.curate.ledger import Drop, Ledger
from polylm_core.stages.curate.rows import Rows, concatenated

Verdicts = npt.NDArray[np.integer[Any]]


@dataclass
class Collector:
    """What one unit kept and left out."""

    ledger: Ledger = field(default_factory=Ledger)
    rows: dict[str, list[Rows]] = field(default_factory=dict)
    """What was kept, by language."""
    drops: dict[str, list[tuple[int, Drop]]] = field(default_factory=dict)
    """What was left out, by language, with the keys of the rows."""

    def keep(
        self,
        rows: Rows,
        filter: str,
        verdicts: Verdicts,
        reasons: Sequence[str],
        sizes_before: npt.NDArray[np.int64] | None = None,
    ) -> Rows:
        """The rows without a reason to drop them (-1); the others are written down.

        `sizes_before` are the texts' bytes before the filter took lines out of them.
        """
        self.ledger.record(rows.items(), filter, verdicts, reasons, sizes_before)
        ids, sizes = rows.columns.column("id"), rows.texts.sizes
        self.drops.setdefault(rows.language, []).extend(
            (
                int(rows.keys[row]),
                Drop(
                    id=ids[int(row)].as_py(),
                    kind=rows.kind,
                    language=rows.language,
                    filter=filter,
                    reason=reasons[verdicts[row]],
                    bytes=int(sizes[row]),
                ),
            )
            for row in np.flatnonzero(verdicts >= 0)
        )
        return rows.where(verdicts < 0)

    def add(self, rows: Rows) -> None:
        """Collect rows that passed."""
        if len(rows):
            self.rows.setdefault(rows.language, []).append(rows)

    def sorted_rows(self, language: str) -> Rows | None:
        """All rows collected in a language, in the order of their keys; none if there are none."""
        found = self.rows.get(language)
        if not found:
            return None
        rows = concatenated(found)
        return rows.take(np.argsort(rows.keys, kind="stable"))

    def sorted_drops(self, language: str) -> list[Drop]:
        """All drops of a language, in the order of their rows' keys."""
        found = self.drops.get(language, [])
        return [drop for _, drop in sorted(found, key=lambda pair: (pair[0], pair[1].id))]
