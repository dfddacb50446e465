"""The stage's process of `benchmarks.chaos`: one small training run on a Ray cluster.

`python -m benchmarks.engine.chaos_job FOLDER STEPS ADDRESS` trains in FOLDER, or goes on there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.engine.chaos_plan import CHECKPOINT_EVERY_STEPS, WORLD_SIZE
from polylm_core.compute.backend import Backend
from polylm_core.compute.process import die_with_parent
from polylm_core.progress import TerminalProgress
from polylm_core.training.job import TrainJob
from polylm_core.training.run import run_job
from tests.training_job import make_job


def chaos_job(folder: Path, steps: int) -> TrainJob:
    """Write the input of the run below a folder; the same bytes each time."""
    return make_job(folder, steps=steps, checkpoint_every_steps=CHECKPOINT_EVERY_STEPS)


def run(job: TrainJob, backend: Backend) -> None:
    """Train to the end; what befalls the ranks is told on standard error."""
    job.work.mkdir(parents=True, exist_ok=True)
    run_job(job, backend, TerminalProgress(), num_steps=job.schedule.num_steps, what="steps")


def main() -> None:
    """Run the job of the command line."""
    from polylm_core.compute.on_ray import RayBackend

    die_with_parent()
    folder, steps, address = sys.argv[1:]
    backend = RayBackend(
        address=address,
        training_workers=WORLD_SIZE,
        threads_per_worker=1,
        use_gpu=False,
        private_cpus=WORLD_SIZE,
    )
    run(chaos_job(Path(folder), int(steps)), backend)


if __name__ == "__main__":
    main()
