"""Holds the ranks of a run still while other sides of a comparison have their turn.

The ranks know nothing of it: they are stopped by a signal when the run's own record has another
group of steps, and go on when the baton is back.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from benchmarks.engine.baton import Baton

POLL_SECONDS = 0.001
SETTLE_SECONDS = 0.3
"""What Ray does with the ranks' report is not to slow the side whose turn is next."""
LOCKS = "trainer-*.lock"
RECORD = "throughput.jsonl"


def rank_processes(work: Path) -> list[int]:
    """Return the processes that hold the locks of a run's ranks."""
    found = (lock.read_text().strip() for lock in work.glob(LOCKS))
    return [int(pid) for pid in found if pid]


class RanksByTurns(threading.Thread):
    """Takes the time of each group of steps of a run, and has its ranks wait between them."""

    def __init__(self, work: Path, baton: Baton, groups: int) -> None:
        super().__init__(daemon=True)
        self.seconds: list[float] = []
        """Of each group of steps, from the ranks' going on to the line that the run recorded."""
        self.ends: list[float] = []
        """When each was done."""
        self._work = work
        self._baton = baton
        self._groups = groups

    def run(self) -> None:
        """Wait for each group's end; the baton is dropped after the last."""
        since = time.monotonic()
        for group in range(self._groups):
            while self._recorded() <= group:
                time.sleep(POLL_SECONDS)
            self.ends.append(time.monotonic())
            self.seconds.append(self.ends[-1] - since)
            ranks = rank_processes(self._work)
            self._send(ranks, signal.SIGSTOP)
            time.sleep(SETTLE_SECONDS)
            self._baton.hand_over()
            since = time.monotonic()
            self._send(ranks, signal.SIGCONT)
        self._baton.drop()

    def _recorded(self) -> int:
        record = self._work / RECORD
        return record.read_bytes().count(b"\n") if record.exists() else 0

    def _send(self, ranks: list[int], what: signal.Signals) -> None:
        for pid in ranks:
            os.kill(pid, what)
