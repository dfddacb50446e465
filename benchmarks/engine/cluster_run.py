"""The `pretrain` stage on a cluster that has no machine yet, watched and robbed of one.

The stage runs as anybody's does, `python -m flows.pretrain`, in a folder with a recipe, a profile
and the stage's inputs. What it says, what it writes and what becomes of the machines goes into one
timeline.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from benchmarks.engine.from_zero import FromZero
from benchmarks.engine.timeline import Timeline
from flows import _server
from polylm_core.errors import MachineError
from polylm_core.training.events import read_events
from tests.clone import ROOT, free_port

POLL_SECONDS = 0.05
NOISE = re.compile(
    r"\d+%\||^\((autoscaler|raylet|TrainController|RayTrainWorker|PlacementGroupCleaner)\b"
)
"""Progress bars, which have no place in a timeline, and what Ray's processes say: of machines the
watcher tells, and the rest is in the run's folder."""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SHORT = 6
"""Last characters of a machine's name that are shown."""


class Watch:
    """What the cluster's watcher has told; `machines` are those that are there, by name."""

    def __init__(self, timeline: Timeline) -> None:
        self.machines: dict[str, str] = {}
        self.most = 0
        self.came: list[str] = []
        self.lost: list[str] = []
        self.given_back: dict[str, float] = {}
        """Machines that went for want of work, and for how many seconds they had none."""
        self.asked_first: float | None = None
        self._timeline = timeline
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()

    def read(self, stream: IO[str]) -> None:
        """Take the watcher's lines as they come."""
        for line in stream:
            self._lines.put(json.loads(line))

    def take(self) -> None:
        """Put what has come into the timeline."""
        while not self._lines.empty():
            row = self._lines.get()
            if "machine" in row:
                self._machine(row)
            elif row.get("asked"):
                self.asked_first = self.asked_first or row["at"]
                self._tell(row, f"asked for: {row['asked']}")
            elif row.get("launching"):
                self._tell(row, f"the autoscaler is starting {row['launching']}")

    def _machine(self, row: dict[str, Any]) -> None:
        name, was, now = row["machine"], row["was"], row["now"]
        short = f"machine {name[-SHORT:]}"
        if now != "DEAD":
            if name not in self.machines:
                self.came.append(name)
                self._tell(row, f"{short} is up")
            elif now != was:
                self._tell(row, f"{short} is {now.lower()}")
            self.machines[name] = now
        elif self.machines.pop(name, None) is not None:
            if was == "RUNNING":
                self.lost.append(name)
                self._tell(row, f"{short} is lost")
            else:
                self.given_back[name] = row["idle_seconds"]
                self._tell(row, f"{short} is given back after {row['idle_seconds']:.0f} s idle")
        self.most = max(self.most, len(self.machines))

    def _tell(self, row: dict[str, Any], what: str) -> None:
        self._timeline.add("cluster", what, row["at"])


@contextmanager
def watching(cluster: FromZero, timeline: Timeline) -> Iterator[Watch]:
    """Watch a cluster in a process of its own while the block runs."""
    watch = Watch(timeline)
    command = [sys.executable, "-m", "benchmarks.engine.cluster_watch", "watch", cluster.address]
    with (cluster.folder / "watch.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=dict(cluster.environment),
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    thread = threading.Thread(target=watch.read, args=(process.stdout,), daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        thread.join(timeout=5)


class StageProcess:
    """The stage's process in a folder, and what it says."""

    def __init__(self, folder: Path, cluster: FromZero, profile: str, timeline: Timeline) -> None:
        self._timeline = timeline
        self._folder = folder
        environment = {
            **cluster.environment,
            "POLYLM_PROFILE": profile,
            "PREFECT_HOME": str(folder / ".prefect"),
            "PREFECT_SERVER_API_PORT": str(free_port()),
        }
        self.said: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.pretrain"],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for part in self._process.stdout:
            said = COLOUR.sub("", part.decode(errors="replace")).replace("\r", "\n")
            for line in said.splitlines():
                if line.strip() and not NOISE.search(line):
                    self.said.append(line.strip())
                    self._timeline.add("stage", line.strip())

    @property
    def status(self) -> int | None:
        """Exit status, none while it runs."""
        return self._process.poll()

    def close(self) -> None:
        """End it, should it still run, and its Prefect server."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        _server.stop(self._folder)


class RunFolder:
    """What the ranks write of a run, told as it appears."""

    def __init__(self, runs: Path, timeline: Timeline) -> None:
        self._runs = runs
        self._timeline = timeline
        self._told = 0

    @property
    def path(self) -> Path | None:
        """The run's folder, once there is one."""
        return next(iter(sorted(self._runs.glob("pretrain-*"))), None)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What befell the run."""
        return [] if self.path is None else read_events(self.path / "events.jsonl")

    def take(self) -> None:
        """Put new events into the timeline."""
        events = self.events
        for row in events[self._told :]:
            self._timeline.add("run", _words(row))
        self._told = len(events)

    def last_step(self) -> int:
        """Return the step that was measured last."""
        if self.path is None or not (file := self.path / "metrics.jsonl").is_file():
            return 0
        with file.open("rb") as lines:
            lines.seek(max(0, os.fstat(lines.fileno()).st_size - 4096))
            steps = re.findall(rb'"step": (\d+)', lines.read())
        return int(steps[-1]) if steps else 0


def _words(row: dict[str, Any]) -> str:
    kind, step = row["event"], row["step"]
    if kind == "start":
        again = f", {row['steps_again']} steps again" if row["steps_again"] else ""
        return f"{row['world_size']} ranks start after step {step}{again}"
    return f"{kind} after step {step}"


def follow(
    tellers: tuple[Watch, RunFolder], until: Callable[[], bool], *, seconds: float, what: str
) -> None:
    """Keep the timeline until a condition holds; raises MachineError when it takes too long."""
    deadline = time.monotonic() + seconds
    while not until():
        if time.monotonic() > deadline:
            raise MachineError(f"{what} did not happen within {seconds:.0f} s")
        for teller in tellers:
            teller.take()
        time.sleep(POLL_SECONDS)
    for teller in tellers:
        teller.take()
