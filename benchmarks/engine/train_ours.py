"""Our loop on one job, as a process of its own: `python -m benchmarks.engine.train_ours JOB`.

It is the loop that the stages run, `polylm_core.training.loop.train_rank`, and its own record of
speed. `--launch process` makes this process the only rank; `--launch ray` has Ray start the ranks
that the job's execution declares, as the laptop profile does.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.engine.baton import Baton
from benchmarks.engine.pretraining import (
    EVERY_STEPS,
    Measured,
    peak_resident_bytes,
    read_job,
    seconds_since_start,
    speeds,
    step_tokens,
)
from benchmarks.engine.ranks_by_turns import RanksByTurns, rank_processes
from polylm_core.training.job import TrainJob
from polylm_core.training.metrics import MetricsFile

POLL_SECONDS = 0.25


class Finished(Exception):
    """Enough steps were measured; what would be saved is not wanted."""


class OnlyRank:
    """A group of this process alone."""

    rank = 0
    world_size = 1

    def __init__(self, stop_after_step: int | None, baton: Baton | None) -> None:
        self.seconds: list[float] = []
        """Of each group of steps."""
        self.ends: list[float] = []
        """When each was done."""
        self._stop_after_step = stop_after_step
        self._baton = baton
        self._since = time.monotonic()

    def report(self, metrics: Mapping[str, float]) -> None:
        """Note the time of a group; end at the step that was to be the last."""
        self.ends.append(time.monotonic())
        self.seconds.append(self.ends[-1] - self._since)
        if self._stop_after_step is not None and metrics["step"] >= self._stop_after_step:
            raise Finished
        if self._baton:
            self._baton.hand_over()
        self._since = time.monotonic()

    def leaving(self) -> bool:
        """Nobody takes this machine away."""
        return False

    def growing(self) -> bool:
        """Nobody adds one."""
        return False


def run_here(job: TrainJob, context: OnlyRank) -> int:
    """Train in this process; return the most memory it had."""
    import torch
    from torch._C._distributed_c10d import HashStore  # a group without a network

    from polylm_core.training.loop import train_rank

    on_gpu = job.execution.accelerator == "gpu"
    torch.set_num_threads(job.execution.threads_per_worker)
    os.environ.update(
        RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", LOCAL_WORLD_SIZE="1", MASTER_ADDR="127.0.0.1"
    )
    torch.distributed.init_process_group(
        "nccl" if on_gpu else "gloo", store=HashStore(), rank=0, world_size=1
    )
    try:
        train_rank(context, job.model_dump(mode="json"))
    except Finished:
        pass
    finally:
        torch.distributed.destroy_process_group()
    return torch.cuda.max_memory_allocated() if on_gpu else peak_resident_bytes("self")


def run_on_ray(job: TrainJob, turns: RanksByTurns) -> int:
    """Train on ranks that Ray starts; return the most memory each had, added up."""
    from polylm_core.compute.on_ray import RayBackend
    from polylm_core.progress import NullProgress
    from polylm_core.training.run import run_job

    execution = job.execution
    backend = RayBackend(
        address=None,
        training_workers=execution.workers,
        threads_per_worker=execution.threads_per_worker,
        use_gpu=execution.accelerator == "gpu",
        private_cpus=execution.workers * execution.threads_per_worker,
    )
    steps = job.schedule.num_steps
    turns.start()
    with _watched(job.work) as peaks:
        run_job(job, backend, NullProgress(), num_steps=steps, what="steps")
    return sum(peaks.values())


@contextmanager
def _watched(work: Path) -> Iterator[dict[int, int]]:
    """Look at the memory of the ranks until the block ends.

    The dictionary has the most that the process of each rank has had.
    """
    peaks: dict[int, int] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            for pid in rank_processes(work):
                peaks[pid] = max(peaks.get(pid, 0), peak_resident_bytes(pid))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


def main() -> None:
    """Do the job and write what was measured beside it."""
    began = time.monotonic() - seconds_since_start()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", type=Path)
    parser.add_argument("--launch", choices=("process", "ray"), default="process")
    parser.add_argument("--warm-steps", type=int, required=True)
    parser.add_argument("--stop-after-step", type=int, help="and save nothing")
    parser.add_argument("--baton", type=Path, help="folder of the baton that sides pass by turns")
    parser.add_argument("--place", type=int, default=0, help="this side's in the passing")
    arguments = parser.parse_args()
    job = read_job(arguments.job)
    baton = Baton(arguments.baton, arguments.place) if arguments.baton else None
    clock: OnlyRank | RanksByTurns
    if arguments.launch == "ray":
        if baton is None:
            parser.error("--launch ray needs --baton")
        clock = RanksByTurns(job.work, baton, job.schedule.num_steps // EVERY_STEPS)
        peak = run_on_ray(job, clock)
    else:
        clock = OnlyRank(arguments.stop_after_step, baton)
        peak = run_here(job, clock)
        if baton:
            baton.drop()
    rows = MetricsFile(job.work / "metrics.jsonl").read()
    Measured(
        losses=[row.value for row in rows if row.metric == "loss"],
        peak_bytes=peak,
        start_seconds=clock.ends[arguments.warm_steps // EVERY_STEPS - 1] - began,
        **speeds(clock.seconds, step_tokens(job), arguments.warm_steps),
    ).write(job.work)


if __name__ == "__main__":
    main()
