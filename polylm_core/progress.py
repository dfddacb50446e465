"""How a stage tells what it is doing, without knowing who watches.

A stage calls `progress.track(unit, total)` around each unit of work and `progress.table(...)` for
its results. The terminal shows bars; the flows add a watcher that mirrors both into Prefect.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from tqdm import tqdm

QUIET_SECONDS = 2.0
"""A bar appears only once its work has taken this long, so that quick units stay silent."""


class Tracker(Protocol):
    """One unit of work under way."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Count `amount` more items as done; `note` is a short status such as `loss 5.31`."""


class Progress(Protocol):
    """What a stage reports to."""

    @contextmanager
    def track(
        self, unit: str, total: int, noun: str = "items", *, done: int = 0
    ) -> Iterator[Tracker]:
        """Open a unit of work of `total` items; leaving the block ends it.

        `done` of them were before, which says nothing of how long the others will take.
        """

    def table(self, key: str, rows: Sequence[Mapping[str, object]], description: str) -> None:
        """Publish a result table; `key` is lowercase words joined by dashes."""

    def say(self, message: str) -> None:
        """Tell one line that people should see."""


class _BarTracker:
    def __init__(self, bar: tqdm[object]) -> None:
        self._bar = bar

    def advance(self, amount: int = 1, note: str = "") -> None:
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(amount)


class _Terminal(io.TextIOBase):
    """Standard error, which may go away (a closed window, `| head`) while the work goes on.

    tqdm keeps a lock for ever when a write fails, and with it the stage.
    """

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()

    def fileno(self) -> int:
        return sys.stderr.fileno()


class TerminalProgress:
    """Bars and lines on the terminal; tables are left to the watchers."""

    @contextmanager
    def track(
        self, unit: str, total: int, noun: str = "items", *, done: int = 0
    ) -> Iterator[Tracker]:
        """Show a bar once the unit has taken longer than `QUIET_SECONDS`."""
        terminal = _Terminal()
        interval = 0.5 if terminal.isatty() else 15.0
        with tqdm(
            total=total,
            initial=done,
            desc=unit,
            unit=f" {noun}",
            delay=QUIET_SECONDS,
            mininterval=interval,
            file=terminal,
        ) as bar:
            yield _BarTracker(bar)

    def table(self, key: str, rows: Sequence[Mapping[str, object]], description: str) -> None:
        """Leave tables to the watchers."""

    def say(self, message: str) -> None:
        """Print one line beside the bars."""
        tqdm.write(message, file=_Terminal())


class _NullTracker:
    def advance(self, amount: int = 1, note: str = "") -> None:
        """Count nothing."""


class NullProgress:
    """Watches nothing: for tests and for library use."""

    @contextmanager
    def track(
        self, unit: str, total: int, noun: str = "items", *, done: int = 0
    ) -> Iterator[Tracker]:
        """Track nothing."""
        yield _NullTracker()

    def table(self, key: str, rows: Sequence[Mapping[str, object]], description: str) -> None:
        """Drop the table."""

    def say(self, message: str) -> None:
        """Drop the line."""
