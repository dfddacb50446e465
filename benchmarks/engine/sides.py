"""Runs the sides of a comparison of training loops, each in a process of its own."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.engine.pretraining import Load, Measured, make_job, write_job, write_tokens
from benchmarks.engine.ranks_by_turns import rank_processes
from polylm_core.settings import TrainingExecution

POLL_SECONDS = 0.2
PRECISION = "bfloat16"
"""Of the factors of matrix products, on all sides: the fastest of each."""


@dataclass(frozen=True)
class Side:
    """The process of one side."""

    process: subprocess.Popen[bytes]
    command: Sequence[str]
    work: Path
    timeout_seconds: float | None

    def finish(self) -> Measured:
        """Wait for its end and return what it measured.

        Raises:
            SystemExit: it failed or took too long; what it printed is on stderr.
        """
        try:
            status = self.process.wait(self.timeout_seconds)
        except subprocess.TimeoutExpired:
            self.end()
            self._fail(f"took more than {self.timeout_seconds:.0f} seconds")
        if status:
            self._fail(f"ended with status {status}")
        return Measured.read(self.work)

    def end(self) -> None:
        """Kill it where it still runs."""
        if self.process.poll() is not None:
            return
        ranks = rank_processes(self.work)
        self.process.kill()
        self.process.wait()
        for pid in ranks:  # one that is held still would not see that its Ray has ended
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _fail(self, what: str) -> NoReturn:
        """End with what the process printed and what its ranks did."""
        for path in (self.work / "output.txt", *sorted((self.work / "logs").glob("*.log"))):
            sys.stderr.write(path.read_text())
        command = subprocess.list2cmdline(self.command)
        raise SystemExit(f"error: {command} {what}")


def finish_together(sides: Sequence[Side]) -> list[Measured]:
    """Return what sides measured that wait for each other; one that fails ends all."""
    running = list(sides)
    try:
        while running:
            # The one that failed first: the others may wait for it.
            ended = next((side for side in running if side.process.poll() is not None), None)
            if ended is None:
                time.sleep(POLL_SECONDS)
                continue
            ended.finish()
            running.remove(ended)
        return [side.finish() for side in sides]
    finally:
        for side in sides:
            side.end()


@dataclass(frozen=True)
class Setting:
    """What all sides of a comparison are given."""

    load: Load
    steps: int
    warm_steps: int
    folder: Path
    cpus: Sequence[int]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside this process's own."""
    timeout_seconds: float | None = None
    """Of one side."""

    @property
    def tokens(self) -> Path:
        """The token file."""
        return self.folder / "tokens"

    def write_tokens(self) -> None:
        """Write twice the tokens that the steps need."""
        write_tokens(self.tokens, self.load.vocab, self.steps * self.load.step_tokens * 2)

    def run(self, name: str, execution: TrainingExecution, program: Sequence[str]) -> Measured:
        """Run one side's program on a job of its own."""
        return self.start(name, execution, program).finish()

    def start(self, name: str, execution: TrainingExecution, program: Sequence[str]) -> Side:
        """Start one side's program on a job of its own."""
        job = make_job(
            self.folder / name,
            self.load,
            steps=self.steps,
            execution=execution,
            precision=PRECISION,
            tokens=self.tokens,
        )
        path = write_job(job)
        command = [
            *(sys.executable, "-m", program[0], str(path), *program[1:]),
            *("--warm-steps", str(self.warm_steps)),
        ]
        with (job.work / "output.txt").open("w") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=self._pin,
                env={**os.environ, **self.environment},
            )
        return Side(process, command, job.work, self.timeout_seconds)

    def _pin(self) -> None:
        os.sched_setaffinity(0, self.cpus)


def summaries(found: Mapping[str, Sequence[Measured]]) -> dict[str, dict[str, Any]]:
    """Return the medians of each side's turns, and the loss of the last step that all recorded."""
    steps = min(len(row.losses) for rows in found.values() for row in rows)
    return {name: _summary(rows, steps) for name, rows in found.items()}


def _summary(rows: Sequence[Measured], steps: int) -> dict[str, Any]:
    return {
        "tokens_per_second": round(statistics.median(row.tokens_per_second for row in rows), 1),
        "by_turn": [round(row.tokens_per_second) for row in rows],
        "mean_by_turn": [round(row.mean_tokens_per_second) for row in rows],
        "peak_megabytes": round(statistics.median(row.peak_bytes for row in rows) / 1e6),
        "start_seconds": round(statistics.median(row.start_seconds for row in rows), 1),
        "first_loss": round(rows[0].losses[0], 5),
        "last_loss": round(rows[0].losses[steps - 1], 5),
    }


def ratio(ours: Sequence[Measured], theirs: Sequence[Measured]) -> float:
    """Return the median of the turns' ratios of speed.

    What slows a machine for minutes slows both sides of a turn.
    """
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(
        one.tokens_per_second / other.tokens_per_second for one, other in pairs
    )


def paired_ratio(ours: Sequence[Measured], theirs: Sequence[Measured]) -> float:
    """Return the median ratio of speed of all groups of steps that were done one after the other.

    For sides that passed a `Baton`: what slows a machine for a second slows both of a pair.
    """
    return statistics.median(
        other_seconds / one_seconds
        for one, other in zip(ours, theirs, strict=True)
        for one_seconds, other_seconds in zip(one.group_seconds, other.group_seconds, strict=True)
    )


def loss_difference(losses: Mapping[str, Sequence[float]]) -> float:
    """Return the largest relative difference of two sides' losses of a step that all recorded."""
    by_step = zip(*losses.values(), strict=False)  # a side that was ended lacks its last
    differences: list[float] = [(max(values) - min(values)) / min(values) for values in by_step]
    return max(differences)
