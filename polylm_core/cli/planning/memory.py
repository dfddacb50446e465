"""Bytes of a rank by part, and what to do where they are more than an accelerator has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polylm_core.cli.output import size
from polylm_core.cli.planning.phases import Phase
from polylm_core.cli.planning.prices import Accelerator
from polylm_core.errors import Problem
from polylm_core.settings import Profile
from polylm_core.training.plan import Step, memory_of, model_states_of


def memory_rows(phase: Phase, profile: Profile) -> Iterator[dict[str, Any]]:
    """Yield what a rank holds when all are there, part by part, its peak, and others' count."""
    if not phase.ways:
        return
    memory = phase.memory(profile, phase.ways[0])
    kinds = (
        ("held", memory.held),
        ("while gradients are computed", memory.passing),
        ("while the optimizer steps", memory.updating),
        ("offloaded", memory.offloaded),
    )
    for when, parts in kinds:
        for part, count in parts.items():
            yield {"run": phase.name, "when": when, "part": part, "bytes": count}
    yield {"run": phase.name, "when": "at most", "part": "all", "bytes": memory.peak}
    other = _other_way(phase, profile, phase.ways[0])
    told = "without" if profile.training.recompute_activations else "with"
    yield {
        "run": phase.name,
        "when": "at most",
        "part": f"all, {told} recompute_activations",
        "bytes": other,
    }
    if profile.training.sharding == "zero3" and not phase.sizes.frozen:
        count = model_states_of(phase.sizes, phase.ways[0].world_size)
        yield {
            "run": phase.name,
            "when": "for comparison",
            "part": "model states by DeepSpeed's estimator",
            "bytes": count,
        }


def _other_way(phase: Phase, profile: Profile, way: Step) -> int:
    """The peak with activations kept where they are recomputed, and the other way round."""
    execution = profile.training
    other = execution.model_copy(
        update={"recompute_activations": not execution.recompute_activations}
    )
    return memory_of(phase.sizes, phase.shape, way, other, phase.precision).peak


def memory_problems(
    phase: Phase, profile: Profile, machine: Accelerator | None
) -> Iterator[Problem]:
    """Yield a problem where a rank needs more than its accelerator has, with what would help."""
    if machine is None or machine.memory_bytes is None or not phase.ways:
        return
    # The full group first; the fewest ranks that the profile goes on with hold larger parts.
    fewest = max(phase.ways, key=lambda way: phase.memory(profile, way).peak)
    for way in (phase.ways[0], fewest):
        needed = phase.memory(profile, way).peak
        if needed > machine.memory_bytes:
            break
    else:
        return
    execution = profile.training
    helps = []
    if not execution.recompute_activations:
        helps.append(f"recompute_activations ({size(_other_way(phase, profile, way))})")
    if execution.micro_batch_sequences > 1:
        helps.append("a smaller micro_batch_sequences")
    if execution.sharding == "zero3" and execution.offload_optimizer == "none":
        helps.append("offload_optimizer: cpu")
    helps.append("more workers" if way is phase.ways[0] else "a larger min_workers")
    message = (
        f"{phase.name} takes {size(needed)} of each of {way.world_size} ranks, "
        f"{profile.hardware.accelerator} has {size(machine.memory_bytes)}; "
        f"{', or '.join(helps)} would help"
    )
    yield Problem("training", message)
