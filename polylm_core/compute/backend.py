"""The two verbs every backend has, so that a stage is the same work in any place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

from polylm_core.worker import WorkerContext

Worker = Callable[[WorkerContext, Mapping[str, Any]], None]
"""What runs once a rank, with the launch's JSON-able configuration."""


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
        on_report: Callable[[Mapping[str, float]], None],
    ) -> None:
        """Run `worker`, a `Worker` as `module:function`, on each rank; return when all ended well.

        A rank that dies is restarted with its group (the worker resumes from `work`); an error
        that a restart cannot mend is raised here.
        """

    @property
    def training_workers(self) -> int:
        """Ranks that `launch` runs."""


def resolve(worker: str) -> Worker:
    """Import the `Worker` that `module:function` names; only ranks pay for its imports."""
    module, _, name = worker.partition(":")
    function: Worker = getattr(import_module(module), name)
    return function
