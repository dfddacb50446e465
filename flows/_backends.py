"""The machines that a profile declares, as the backend of a stage."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path

from polylm_core.compute.backend import Backend
from polylm_core.compute.local import LocalBackend
from polylm_core.loading import uncollected
from polylm_core.settings import Profile


def make_backend(
    profile: Profile, local: LocalBackend, *, work: Path, on_wait: Callable[[str], None]
) -> Backend:
    """Return the machines a profile declares; Ray is imported only when it is needed.

    That units of work wait for machines is told to `on_wait`; what Ray knows of them is kept in
    `work`, the run's folder.
    """
    training = profile.training
    if profile.map_backend == training.backend == "local":
        return local
    with uncollected():
        on_ray = importlib.import_module("polylm_core.compute.on_ray")
    cluster: Backend = on_ray.RayBackend(
        address=profile.ray_address or os.environ.get("RAY_ADDRESS"),
        training_workers=training.workers,
        threads_per_worker=training.threads_per_worker,
        use_gpu=training.accelerator == "gpu",
        private_cpus=profile.private_ray_cpus,
        patience=on_ray.Patience(
            full_size_seconds=training.full_size_wait_seconds,
            machines_seconds=training.machines_wait_seconds,
        ),
        on_wait=on_wait,
        traces=work,
    )
    return _Backends(
        mapper=local if profile.map_backend == "local" else cluster,
        launcher=local if training.backend == "local" else cluster,
    )


class _Backends:
    """One backend's `map` beside another's `launch`."""

    def __init__(self, mapper: Backend, launcher: Backend) -> None:
        self.map = mapper.map
        self.launch = launcher.launch
        self.training_workers = launcher.training_workers
