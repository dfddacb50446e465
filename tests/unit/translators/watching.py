"""What people would see of a translation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from polylm_core.progress import NullProgress


class Watcher(NullProgress):
    """Remembers units, notes, lines and tables."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done = 0
        self.notes: list[str] = []
        self.said: list[str] = []
        self.tables: dict[str, list[Mapping[str, object]]] = {}

    @contextmanager
    def track(
        self, unit: str, total: int, noun: str = "items", *, done: int = 0
    ) -> Iterator[Watcher]:
        self.totals[f"{unit}, {noun}"] = total
        yield self

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount
        self.notes += [note] if note else []

    def say(self, message: str) -> None:
        self.said.append(message)

    def table(self, key: str, rows: Sequence[Mapping[str, object]], description: str) -> None:
        self.tables[key] = list(rows)
