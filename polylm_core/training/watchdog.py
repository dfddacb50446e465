"""Work that does not end: every rank's stacks are written down, then the process ends.

A rank that hangs holds up all others in a collective, without an error and for ever. Each rank
therefore sets itself a deadline for each step. Past it the rank writes the Python stacks of all its
threads to `<folder>/rank-<rank>.txt` and, `grace_seconds` later, ends by `_exit(1)`: nothing is
flushed, no `finally` runs, and the launcher sees a dead rank and starts the group again from the
last checkpoint. The grace lets the slowest rank write its stacks before the first one ends: those
that wait in a collective with gloo get an error as soon as a peer is gone.

The end comes from faulthandler's own thread, which needs no interpreter lock: it comes to a rank
that hangs in a call that holds the lock as well, with the stacks as they are then.
"""

from __future__ import annotations

import faulthandler
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Self

FIRST_SECONDS = 1800.0
"""Deadline of the first steps, which compile and warm up, and of work that is no step (NeMo gives a
rank as long to its first heartbeat)."""
LEAST_SECONDS = 300.0
"""Least deadline of the steps after (NeMo's heartbeat)."""
MEDIANS = 20.0
"""A step may take so many times the median of the steps before it."""
FIRST_STEPS = 5
"""Steps before their median counts."""
MEDIAN_STEPS = 100
GRACE_SECONDS = 5.0
"""Between the stacks and the end. Steps of the ranks begin within milliseconds of each other."""
HEAD_BYTES = 80


class Watchdog:
    """The deadlines of one rank, from the block's beginning to its end."""

    def __init__(
        self,
        folder: Path,
        rank: int,
        *,
        step_seconds: float | None = None,
        first_seconds: float = FIRST_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """Without `step_seconds` the deadline of a step follows from the steps before it."""
        self._path = folder / f"rank-{rank}.txt"
        self._step_seconds = step_seconds
        self._first_seconds = first_seconds
        self._grace_seconds = grace_seconds
        self._durations: deque[float] = deque(maxlen=MEDIAN_STEPS)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _keep(self._path)
        self._file = self._path.open("wb", buffering=0)
        self._file.write(_head("no work"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if not _holds_stacks(self._path):
            self._path.unlink()

    @property
    def step_seconds(self) -> float:
        """Return the deadline of the next step."""
        if len(self._durations) < FIRST_STEPS:
            return max(self._first_seconds, self._step_seconds or 0.0)
        return self._step_seconds or max(LEAST_SECONDS, MEDIANS * median(self._durations))

    @contextmanager
    def step(self, step: int) -> Iterator[None]:
        """Bound the time of a step."""
        began = time.monotonic()
        with self._bound(f"step {step}", self.step_seconds):
            yield
        self._durations.append(time.monotonic() - began)

    @contextmanager
    def work(self, what: str, *, seconds: float = 0.0) -> Iterator[None]:
        """Bound the time of work that is no step: a validation, a checkpoint.

        It has at least `seconds`.
        """
        with self._bound(what, max(self._first_seconds, self._step_seconds or 0.0, seconds)):
            yield

    @contextmanager
    def _bound(self, what: str, seconds: float) -> Iterator[None]:
        os.pwrite(self._file.fileno(), _head(what), 0)
        timer = threading.Timer(seconds, self._write_stacks, (what, seconds))
        timer.daemon = True
        timer.start()
        faulthandler.dump_traceback_later(seconds + self._grace_seconds, file=self._file, exit=True)
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # it may be at writing
            faulthandler.cancel_dump_traceback_later()

    def _write_stacks(self, what: str, seconds: float) -> None:
        self._file.write(f"{what} is over its deadline of {seconds:g} s:\n".encode())
        faulthandler.dump_traceback(self._file)


def stacks(folder: Path) -> list[Path]:
    """Return the files of the ranks that were over a deadline, those of earlier starts too."""
    return [path for path in sorted(folder.glob("rank-*.txt")) if _holds_stacks(path)]


def _head(what: str) -> bytes:
    """What a rank is at, as a line of fixed length that the next one overwrites."""
    return (
        f"process {os.getpid()} at {what}"[: HEAD_BYTES - 1].ljust(HEAD_BYTES - 1).encode() + b"\n"
    )


def _holds_stacks(path: Path) -> bool:
    return path.stat().st_size > HEAD_BYTES


def _keep(path: Path) -> None:
    """Give the stacks of an earlier start another name."""
    if path.is_file() and _holds_stacks(path):
        number = 1
        while (kept := path.with_name(f"{path.stem}.{number}.txt")).exists():
            number += 1
        path.rename(kept)
