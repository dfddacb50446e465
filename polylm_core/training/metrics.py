"""What a run measured of itself, as rows on disk that a restart continues."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from polylm_core.storage import no_space_named, write_atomic


@dataclass(frozen=True, slots=True)
class Measurement:
    """One point of a curve."""

    step: int
    """Optimizer steps done."""
    metric: str
    """`loss` (nats a token), `learning_rate`, `gradient_norm` or `bits_per_byte`."""
    language: str
    """Language or stream the value is of; empty for the whole batch."""
    value: float


class MetricsFile:
    """Measurements as JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Measurement]:
        """Return the measurements; a line cut short by a crash ends them."""
        rows: list[Measurement] = []
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    rows.append(Measurement(**json.loads(line)))
                except (ValueError, TypeError):
                    break
        return rows

    def rewind(self, step: int) -> int:
        """Forget what was measured after `step`: the steps from there are done again.

        Returns the last step that had been measured, 0 where none had.
        """
        rows = self.read()
        kept = [row for row in rows if row.step <= step]
        text = "".join(json.dumps(asdict(row)) + "\n" for row in kept)
        write_atomic(self.path, text.encode())
        return max((row.step for row in rows), default=0)

    def keep(self) -> None:
        """Put what was added on the disk, so that no checkpoint outlives the steps before it."""
        if self.path.is_file():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())

    def append(self, rows: list[Measurement]) -> None:
        """Add measurements."""
        with no_space_named(self.path), self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)
