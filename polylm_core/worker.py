"""What a training worker sees of the machines around it, whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class WorkerContext(Protocol):
    """One rank of a launched group; `compute` implements it."""

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""

    @property
    def world_size(self) -> int:
        """How many workers there are."""

    def report(self, metrics: Mapping[str, float]) -> None:
        """Tell the driver how far the work is; only rank 0 is heard."""

    def leaving(self) -> bool:
        """Whether this machine has been told that it will be taken away."""
