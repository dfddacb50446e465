"""Machines of a Ray cluster for a group of ranks: how many there are, and waiting for more.

A placement group of as many bundles as ranks is asked for and given back: Ray itself then says what
fits, beside others' work and without machines that are about to leave, and its autoscaler, where
there is one, sees what is wanted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from polylm_core.compute.ray_autoscaler import account
from polylm_core.errors import InfrastructureError, MachineError

Bundle = Mapping[str, float]
"""What one rank takes, by Ray's names: `CPU`, `GPU`."""
FIT_SECONDS = 5.0
"""How long machines that are there may take to be given."""
NOTE_SECONDS = 30.0
"""How often a launch that waits says so."""


@dataclass(frozen=True)
class Patience:
    """How long a launch waits for machines."""

    full_size_seconds: float
    """For the largest group, before a smaller one is taken."""
    machines_seconds: float
    """For the smallest group, before the launch is given up."""


DEFAULT_PATIENCE = Patience(full_size_seconds=60, machines_seconds=1800)


@contextmanager
def claimed(bundle: Bundle, count: int) -> Iterator[Any]:
    """Ask for the machines of so many ranks, and give them back at the end of the block."""
    group = placement_group([dict(bundle)] * count, strategy="PACK")
    try:
        yield group
    finally:
        remove_placement_group(group)


def fits(bundle: Bundle, count: int) -> bool:
    """Whether there are machines for so many more ranks now."""
    _, free = _resources()
    if any(free.get(name, 0) < amount * count for name, amount in bundle.items()):
        return False  # without a claim, for which an autoscaler would bring machines
    with claimed(bundle, count) as group:
        return bool(group.wait(FIT_SECONDS))


def choose(
    bundle: Bundle, sizes: Sequence[int], patience: Patience, on_note: Callable[[str], None]
) -> int:
    """Return the largest of the sizes, which fall, that there are machines for.

    Raises InfrastructureError when there are none even for the smallest within the patience.
    """
    started = time.monotonic()
    noted = -NOTE_SECONDS
    with claimed(bundle, sizes[0]) as full:
        while True:
            arrived = full.wait(FIT_SECONDS)
            waited = time.monotonic() - started
            if arrived:
                if noted > 0:
                    on_note(f"the machines of {sizes[0]} ranks are there after {waited:.0f} s")
                return sizes[0]
            if waited >= patience.full_size_seconds:
                for size in sizes[1:]:
                    if fits(bundle, size):
                        return size
            if waited >= patience.machines_seconds:
                lack = f"{_lack(bundle, sizes[-1])}{account()}"
                raise InfrastructureError(f"{lack} after {waited:.0f} s; {_REMEDY}")
            if time.monotonic() - noted >= NOTE_SECONDS:
                noted = time.monotonic()
                left = patience.machines_seconds - waited
                lack = f"{_lack(bundle, sizes[0])}{account()}"
                on_note(f"waiting for machines: {lack}; {left:.0f} s more")


def require_total(bundle: Bundle, sizes: Sequence[int]) -> list[int]:
    """Return the sizes that a cluster which gets no more machines can have at all.

    Raises MachineError when it cannot even have the smallest.
    """
    total, _ = _resources()
    found = [
        size
        for size in sizes
        if all(total.get(name, 0) >= amount * size for name, amount in bundle.items())
    ]
    if not found:
        raise MachineError(f"{_lack(bundle, sizes[-1])}; {_REMEDY}")
    return found


def _resources() -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return what the cluster has, and what of it is free."""
    cluster: Any = ray
    return cluster.cluster_resources(), cluster.available_resources()


_REMEDY = (
    "add machines, or change training.accelerator, training.workers, training.min_workers or "
    "training.threads_per_worker in the profile"
)


def _lack(bundle: Bundle, size: int) -> str:
    """Say what is wanted and what the cluster has of it."""
    total, free = _resources()
    wanted = ", ".join(f"{name} {amount * size:g}" for name, amount in bundle.items())
    there = ", ".join(
        f"{name} {total.get(name, 0):g} ({free.get(name, 0):g} free)" for name in bundle
    )
    return f"{size} ranks need {wanted}, the Ray cluster has {there}"
