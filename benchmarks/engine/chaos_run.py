"""A training run under attack: it is watched from outside, by what it writes, and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.engine.chaos_plan import WORLD_SIZE, Kill
from benchmarks.engine.machines import Machines, descendants, raylet_of
from polylm_core.compute.process import command_of
from polylm_core.training.events import read_events

POLL_SECONDS = 0.002
"""A save of the small model takes some hundredths of a second."""
PATIENCE_SECONDS = 900.0
"""After which a run that does not get on is given up as hanging."""
CONTROLLER = "ray::TrainController"
CLEANER = "ray::PlacementGroupCleaner"
"""Of Ray Train: without a dashboard it never notices that the controller is gone, and stays."""
SAID_LINES = 40
"""Of the stage's process, told when it ends badly."""


class Attack:
    """One run and the machines it runs on; `kills.jsonl` in its folder says what was done."""

    def __init__(self, folder: Path, steps: int, cluster: Machines) -> None:
        self._folder = folder
        self._steps = steps
        self._cluster = cluster
        self._work = folder / "run"
        self._driver: subprocess.Popen[bytes] | None = None
        self._open: list[dict[str, Any]] = []
        """Kills after which the ranks have not started yet."""
        self._starts = len(self._start_rows())
        self._fallen: set[int] = set()
        """Ranks of the group that was struck last."""

    @property
    def done(self) -> list[dict[str, Any]]:
        """The kills so far, with what the run made of each."""
        return read_events(self._folder / "kills.jsonl")

    def start(self) -> None:
        """Start the stage's process."""
        self._folder.mkdir(parents=True, exist_ok=True)
        program = [sys.executable, "-m", "benchmarks.engine.chaos_job"]
        arguments = [str(self._folder), str(self._steps), self._cluster.address]
        with (self._folder / "driver.log").open("ab") as log:
            self._driver = subprocess.Popen([*program, *arguments], stdout=log, stderr=log)

    def strike(self, kill: Kill) -> None:
        """Wait for the moment, kill, and provide what replaces the victim."""
        if kill.moment == "start":
            self._wait(self._all_ranks_are_new, "the ranks of the next start")
        else:
            self.see_start()
            self._wait(lambda: self._step() >= kill.step, f"step {kill.step}")
        with self._saving() if kill.moment == "save" else self._ranks_as_they_are():
            self._open.append({**asdict(kill), "struck_at_step": self._step(), "at": time.time()})
            self._fallen = set(self._ranks())
            self._starts = len(self._start_rows())
            self._kill(kill)
        self._replace(kill)

    def see_start(self) -> None:
        """Wait until the ranks have started after the kills so far, and write those down."""
        self._wait(lambda: len(self._start_rows()) > self._starts, "a start of the ranks")
        row = self._start_rows()[-1]
        self._starts = min(self._starts, len(self._start_rows()) - 1)
        with (self._folder / "kills.jsonl").open("a", encoding="utf-8") as file:
            for record in self._open:
                seconds = round(time.time() - record.pop("at"), 1)
                told = {"resumed_from_step": row["step"], "steps_again": row["steps_again"]}
                file.write(json.dumps({**record, **told, "seconds": seconds}) + "\n")
        self._open = []

    def finish(self) -> None:
        """Wait for the run's good end."""
        self.see_start()
        assert self._driver is not None
        self._wait(lambda: self._driver is None or self._driver.poll() is not None, "the end")

    def close(self) -> None:
        """End the stage's process, should it still be there."""
        if self._driver is not None and self._driver.poll() is None:
            self._driver.kill()
            self._driver.wait()

    def _kill(self, kill: Kill) -> None:
        assert self._driver is not None
        if kill.victim == "worker":
            os.kill(self._ranks()[kill.rank], signal.SIGKILL)
        elif kill.victim == "node":
            self._cluster.kill(self._cluster.others[0])
        elif kill.victim == "driver":
            self._driver.kill()
            self._driver.wait()
        else:
            (pid,) = self._on_first(CONTROLLER)
            os.kill(pid, signal.SIGKILL)

    def _on_first(self, title: str) -> list[int]:
        """Pids of the processes of a title on the machine that stays."""
        found = descendants(raylet_of(self._cluster.first))
        return [pid for pid in found if command_of(pid).startswith(title)]

    def _replace(self, kill: Kill) -> None:
        if kill.victim in ("driver", "controller"):
            for pid in self._on_first(CLEANER):
                os.kill(pid, signal.SIGKILL)
        if kill.victim == "node":
            self._cluster.add()
        elif kill.victim == "driver":
            self.start()

    def _start_rows(self) -> list[dict[str, Any]]:
        events = read_events(self._work / "events.jsonl")
        return [row for row in events if row["event"] == "start"]

    def _ranks(self) -> list[int]:
        """Pids of the living holders of the ranks' locks, by rank."""
        files = sorted(self._work.glob("trainer-*.lock"))
        pids = [int(text) for file in files if (text := file.read_text())]
        return [pid for pid in pids if command_of(pid)]

    def _all_ranks_are_new(self) -> bool:
        ranks = self._ranks()
        return len(ranks) == WORLD_SIZE and self._fallen.isdisjoint(ranks)

    def _step(self) -> int:
        """Steps done, as the metrics say; 0 before the first."""
        try:
            with (self._work / "metrics.jsonl").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 400))
                lines = file.read().splitlines()[1:]
            return int(json.loads(lines[-1])["step"])
        except (OSError, IndexError, ValueError):
            return 0

    def _is_saving(self) -> bool:
        """Whether the checkpoint of the last step has its folder but not yet its index."""
        folder = self._work / "checkpoints" / f"step-{self._step():08d}"
        return folder.is_dir() and not (folder / "index.json").exists()

    @contextmanager
    def _saving(self) -> Iterator[None]:
        """Hold the ranks still inside a save while the block runs."""
        while True:
            self._wait(self._is_saving, "a save")
            with self._ranks_as_they_are(still=True):
                if self._is_saving():
                    yield
                    return

    @contextmanager
    def _ranks_as_they_are(self, *, still: bool = False) -> Iterator[None]:
        """Stop the ranks for the block, where asked; those that live go on after it."""
        pids = self._ranks() if still else []
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            if number == signal.SIGSTOP:
                yield

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition; raises RuntimeError when the run ends badly, or hangs."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            ended = self._driver is not None and self._driver.poll()
            if ended or time.monotonic() > deadline:
                said = (self._folder / "driver.log").read_text(errors="replace").splitlines()
                raise RuntimeError(
                    f"waiting for {what}, the run "
                    f"{f'ended with status {ended}' if ended else 'did not get on'}:\n"
                    + "\n".join(said[-SAID_LINES:])
                )
            time.sleep(POLL_SECONDS)
