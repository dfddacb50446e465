"""The two verbs every backend has, so that a stage is the same work in any place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

from polylm_core.errors import MachineError
from polylm_core.loading import importing
from polylm_core.worker import WorkerContext

Worker = Callable[[WorkerContext, Mapping[str, Any]], None]
"""What runs once a rank, with the launch's JSON-able configuration."""

PRIVATE_CPUS_A_CORE = 4
"""CPUs of a private Ray for each core of this machine, at most. Ranks may take turns on a core;
a profile that asks for more is one of other machines."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Backend(Protocol):
    """Where units of work and training ranks run."""

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield `function(item)` in the order of `items`, whatever order they finish in.

        `function` is a picklable module-level function (or a partial of one). An error in a unit
        is raised here, unchanged.
        """

    def launch(
        self,
        worker: str,
        config: Mapping[str, Any],
        *,
        work: Path,
        sizes: Sequence[int],
        on_report: Callable[[Mapping[str, float]], None],
        on_note: Callable[[str], None],
    ) -> None:
        """Run `worker`, a `Worker` as `module:function`, on each rank; return when all ended well.

        There are as many ranks as the backend has, of the `sizes` that the work can be shared by.
        A rank that dies is restarted with its group (the worker resumes from `work`), which may
        then be of another size; an error that a restart cannot mend, a PolyLMError, is raised
        here. What people should see on the way is told to `on_note`.
        """

    @property
    def training_workers(self) -> int:
        """Most ranks that `launch` runs."""


def usable(sizes: Sequence[int], workers: int) -> list[int]:
    """Return the sizes of at most so many ranks, the largest first; raises MachineError at none."""
    found = sorted((size for size in sizes if size <= workers), reverse=True)
    if not found:
        raise MachineError(
            f"there are {workers} ranks, and this work can be shared by {sorted(sizes)}; "
            "change training.workers in the profile"
        )
    return found


def private_ray_problem(cpus: int) -> str | None:
    """Say why a Ray with so many CPUs is not started on this machine; none if it may be."""
    cores = os.cpu_count() or 1
    if cpus <= PRIVATE_CPUS_A_CORE * cores:
        return None
    return (
        f"the profile takes {cpus} CPUs of a Ray cluster and names none, and a private one is for "
        f"at most {PRIVATE_CPUS_A_CORE * cores} on the {cores} cores of this machine; set "
        "RAY_ADDRESS, or ray_address in the profile, to the cluster's address, or POLYLM_PROFILE "
        "to a profile of this machine"
    )


def resolve(worker: str) -> Worker:
    """Import the `Worker` that `module:function` names; only ranks pay for its imports."""
    module, _, name = worker.partition(":")
    with importing():
        function: Worker = getattr(import_module(module), name)
    return function
