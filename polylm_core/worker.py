"""What a training worker sees of the machines around it, whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

SAVED = "saved"
"""Name of the reported metric that says how far a restart need not go back: a step."""


class Regroup(Exception):
    """Raised by a worker, on all ranks at the same step, when its state is saved.

    The group then begins again on the machines that are there: it is no failure.
    """


class WorkerContext(Protocol):
    """One rank of a launched group; `compute` implements it."""

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""

    @property
    def world_size(self) -> int:
        """How many workers there are."""

    def report(self, metrics: Mapping[str, float]) -> None:
        """Tell the driver how far the work is (`SAVED` among it); only rank 0 is heard."""

    def leaving(self) -> bool:
        """Whether a machine of the group has been told that it will be taken away."""

    def growing(self) -> bool:
        """Whether machines have come with which the group would be larger."""
