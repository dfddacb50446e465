"""The machines that a profile declares, as the backend of a stage."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from polylm_core.compute.backend import Backend, Item, Result
from polylm_core.compute.local import LocalBackend
from polylm_core.loading import importing
from polylm_core.settings import Profile


def make_backend(
    profile: Profile, local: LocalBackend, *, work: Path, on_wait: Callable[[str], None]
) -> Backend:
    """Return the machines a profile declares.

    That units of work wait for machines is told to `on_wait`; what Ray knows of them is kept in
    `work`, the run's folder.
    """
    return _Backends(profile, local, work=work, on_wait=on_wait)


class _Backends:
    """What maps beside what launches: this machine or a cluster."""

    def __init__(
        self, profile: Profile, local: LocalBackend, *, work: Path, on_wait: Callable[[str], None]
    ) -> None:
        self._profile = profile
        self._local = local
        self._work = work
        self._on_wait = on_wait

    @property
    def training_workers(self) -> int:
        return self._profile.training.workers

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        return self._named(self._profile.map_backend).map(function, items)

    def launch(self, worker: str, config: Mapping[str, Any], **named: Any) -> None:
        self._named(self._profile.training.backend).launch(worker, config, **named)

    def _named(self, name: str) -> Backend:
        return self._local if name == "local" else self._cluster

    @cached_property
    def _cluster(self) -> Backend:
        """Ray, imported by the stages that use it: it takes seconds."""
        with importing():
            on_ray = importlib.import_module("polylm_core.compute.on_ray")
        training = self._profile.training
        cluster: Backend = on_ray.RayBackend(
            address=self._profile.ray_address or os.environ.get("RAY_ADDRESS"),
            training_workers=training.workers,
            threads_per_worker=training.threads_per_worker,
            use_gpu=training.accelerator == "gpu",
            private_cpus=self._profile.private_ray_cpus,
            patience=on_ray.Patience(
                full_size_seconds=training.full_size_wait_seconds,
                machines_seconds=training.machines_wait_seconds,
            ),
            on_wait=self._on_wait,
            traces=self._work,
        )
        return cluster
