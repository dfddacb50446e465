"""Lines of `polylm plan` on one model: sizes, shares and bytes of each rank."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polylm_core.training.job import ModelShape
    from polylm_core.training.plan import Memory, Partitions, Sizes, Step


def of_model(sizes: Sizes, shape: ModelShape) -> Iterable[str]:
    """Yield a model's parameters."""
    yield f"{sizes.parameters:,} parameters, {shape.architecture}"
    yield f"  {sizes.num_blocks} blocks of {sizes.block:,}"
    for name, count in sizes.outside_blocks.items():
        yield f"  {name} {count:,}"


def of_partitions(partitions: Partitions) -> Iterable[str]:
    """Yield what each rank holds."""
    least, most = min(partitions.elements), max(partitions.elements)
    yield f"partition of a rank: {least:,} to {most:,} parameters"
    yield f"  {partitions.padded:,} allocated by each"


def of_shares(step: Step) -> str:
    """Return how the ranks share a step."""
    return (
        f"  {step.micro_batch} in a micro-batch x {step.accumulation_steps} accumulated x "
        f"{step.world_size} ranks"
    )


def of_memory(memory: Memory, accelerator: str) -> Iterable[str]:
    """Yield the bytes of a rank."""
    yield f"memory of a rank ({accelerator}): {gigabytes(sum(memory.held.values()))}"
    yield from (f"  {what}: {gigabytes(size)}" for what, size in memory.held.items())
    if memory.offloaded:
        yield f"offloaded by a rank: {gigabytes(sum(memory.offloaded.values()))}"
        yield from (f"  {what}: {gigabytes(size)}" for what, size in memory.offloaded.items())
    yield "while it computes, beside what a block keeps for its backward pass"
    yield from (f"  {what}: {gigabytes(size)}" for what, size in memory.passing.items())


def of_checkpoints(sizes: Sizes, step: Step) -> Iterable[str]:
    """Yield the size of a checkpoint: what is trained, and its moments."""
    from polylm_core.training.plan import STATE_BYTES, STATE_FILES

    size = STATE_BYTES * sizes.trained
    yield (
        f"a checkpoint: {size:,} bytes ({STATE_BYTES} a parameter) in "
        f"{STATE_FILES * step.world_size:,} files"
    )


def gigabytes(size: int) -> str:
    """Return bytes as people read them."""
    return f"{size / 1e9:,.2f} GB"
