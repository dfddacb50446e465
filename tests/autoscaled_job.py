"""A run at a walking pace on a cluster with a token: `-m tests.autoscaled_job FOLDER N ADDRESS`.

A process of its own, because one process knows one cluster's token.
"""

from __future__ import annotations

import sys
from pathlib import Path

from polylm_core.compute.on_ray import RayBackend
from polylm_core.compute.process import die_with_parent
from polylm_core.compute.ray_machines import Patience
from tests.training_job import make_job


def main() -> None:
    die_with_parent()
    folder, every, address = sys.argv[1:]
    job = make_job(Path(folder), steps=100_000, checkpoint_every_steps=int(every))
    job.work.mkdir(parents=True)
    backend = RayBackend(
        address=address,
        training_workers=2,
        threads_per_worker=1,
        use_gpu=False,
        private_cpus=2,
        patience=Patience(full_size_seconds=300, machines_seconds=300),
    )
    backend.launch(
        "tests.paced_rank:train_rank",
        job.model_dump(mode="json"),
        work=job.work,
        sizes=[1, 2],
        on_report=lambda _: None,
        on_note=lambda note: print(note, flush=True),
    )


if __name__ == "__main__":
    main()
