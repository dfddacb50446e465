"""What a pretraining run would be, without running it: sizes, shares and bytes.

The model is built on torch's meta device, where tensors have shapes and no memory.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch

from polylm_core.settings import TrainingExecution
from polylm_core.training.adapter import inject
from polylm_core.training.batches import BatchSizes
from polylm_core.training.engine import accumulation, share
from polylm_core.training.flops import flops_per_token
from polylm_core.training.job import LoraShape, ModelShape
from polylm_core.training.loss import chunk_positions
from polylm_core.training.model import blocks, configuration_of, empty_model
from polylm_core.training.run import world_sizes

BYTES = {"float32": 4, "bfloat16": 2}
STATE_BYTES = 12
"""Of a parameter in a checkpoint: float32 weight and two moments."""
STATE_FILES = 3
"""Of each rank in a checkpoint."""
GROUP_ELEMENTS = 1_000_000_000
"""Of the parameters that DeepSpeed's optimizer takes at once (its `sub_group_size`)."""


@dataclass(frozen=True)
class Precision:
    """As `TrainJob` has them."""

    products: Literal["float32", "bfloat16"]
    residuals: Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Sizes:
    """Parameters of a model."""

    outside_blocks: Mapping[str, int]
    """Elements of each parameter that no decoder layer has."""
    block: int
    """Elements of one decoder layer."""
    num_blocks: int
    shapes: Mapping[str, tuple[int, ...]]
    flops_per_token: int
    """Of training, in a full row."""
    frozen: frozenset[str] = frozenset()
    """Names of the parameters that are not trained."""

    @property
    def parameters(self) -> int:
        """Elements in all; tied matrices count once."""
        return sum(map(prod, self.shapes.values()))

    @property
    def trained_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of the parameters with a gradient and moments."""
        return {name: shape for name, shape in self.shapes.items() if name not in self.frozen}

    @property
    def trained(self) -> int:
        """Elements that are trained."""
        return sum(map(prod, self.trained_shapes.values()))


@functools.cache
def sizes_of(
    shape: ModelShape, *, lora: LoraShape | None = None, row_tokens: int | None = None
) -> Sizes:
    """Return the sizes of a model of this shape, with adapters if it has any.

    Rows of training are as long as the context, or of `row_tokens`.
    """
    with torch.device("meta"):
        model = empty_model(configuration_of(shape))
        if lora is not None:
            inject(model, lora, seed=0)
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    layers = blocks(model)
    inside = {id(value) for layer in layers for value in layer.parameters()}
    return Sizes(
        outside_blocks={
            name: value.numel()
            for name, value in model.named_parameters()
            if id(value) not in inside
        },
        block=sum(value.numel() for value in layers[0].parameters()),
        num_blocks=len(layers),
        shapes=shapes,
        flops_per_token=flops_per_token(model, row_tokens or shape.context_tokens),
        frozen=frozenset(
            name for name, value in model.named_parameters() if not value.requires_grad
        ),
    )


@dataclass(frozen=True)
class Step:
    """How the ranks share the sequences of one optimizer step."""

    micro_batch: int
    accumulation_steps: int
    world_size: int

    @property
    def sequences(self) -> int:
        """Of the global batch."""
        return self.micro_batch * self.accumulation_steps * self.world_size


def steps_of(batches: BatchSizes, execution: TrainingExecution) -> list[Step]:
    """Return the full step on as many ranks as the profile has, then on each fewer that it allows.

    Raises TrainingError when none of them can share the batch evenly.
    """
    found = []
    for world in sorted(world_sizes(batches.divisor, execution), reverse=True):
        micro, steps = accumulation(batches.full, world, execution.micro_batch_sequences)
        found.append(Step(micro, steps, world))
    return found


@dataclass(frozen=True)
class Partitions:
    """How ZeRO-3 cuts the parameters."""

    elements: tuple[int, ...]
    """Of each rank, without padding."""
    padded: int
    """That every rank allocates: each parameter's share rounded up."""


def partitions_of(sizes: Sizes, world_size: int) -> Partitions:
    """Return what each of `world_size` ranks holds."""
    counts = [prod(shape) for shape in sizes.shapes.values()]
    held = []
    for rank in range(world_size):
        cuts = [share(count, rank, world_size) for count in counts]
        held.append(sum(stop - start for start, stop in cuts))
    return Partitions(tuple(held), _padded(sizes.shapes, world_size))


def _padded(shapes: Mapping[str, tuple[int, ...]], world_size: int) -> int:
    """Return the elements of these parameters that every rank allocates."""
    return sum(-(-prod(shape) // world_size) for shape in shapes.values())


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank, by what they are for."""

    held: Mapping[str, int]
    """Where it computes, from the first step to the last."""
    offloaded: Mapping[str, int]
    """Held elsewhere."""
    passing: Mapping[str, int]
    """While a step computes. What a block keeps for its backward pass is not among it."""


def memory_of(
    sizes: Sizes, shape: ModelShape, step: Step, execution: TrainingExecution, precision: Precision
) -> Memory:
    """Return the bytes of a rank."""
    if execution.sharding == "none":
        return Memory(
            held={
                "weights": 4 * sizes.parameters,
                "gradients": 4 * sizes.trained,
                "moments": 8 * sizes.trained,
            },
            offloaded={},
            passing=_passing(sizes, shape, step, execution, precision),
        )
    padded = _padded(sizes.shapes, step.world_size)
    trained = _padded(sizes.trained_shapes, step.world_size)
    counts = [prod(each) for each in sizes.shapes.values()]
    small = sum(count for count in counts if count <= execution.persistent_parameter_elements)
    away, width = execution.offload_optimizer, BYTES[precision.products]
    parts = [
        ("parameters", execution.offload_parameters, width * padded),
        # Beside an optimizer in memory DeepSpeed has the gradients twice, as sums and as its own.
        ("gradients", away, (8 if away == "cpu" else 4) * trained),
        ("float32 weights and moments", away, STATE_BYTES * trained),
        ("parameters that stay gathered", "none", width * small),
        ("buffer of gradients under way", "none", 4 * execution.reduce_bucket_elements),
    ]
    return Memory(
        held={what: size for what, place, size in parts if place == "none"},
        offloaded={f"{what}, on {place}": size for what, place, size in parts if place != "none"},
        passing=_gathered(sizes, trained, execution, width)
        | _passing(sizes, shape, step, execution, precision),
    )


def _gathered(
    sizes: Sizes, trained: int, execution: TrainingExecution, width: int
) -> dict[str, int]:
    """What ZeRO-3 gathers and copies while a step computes."""
    largest = max(sizes.block, *sizes.outside_blocks.values())
    live = max(largest, execution.max_live_parameter_elements)
    gathered = min(sizes.parameters, live + execution.prefetch_parameter_elements)
    alone = max(prod(each) for each in sizes.trained_shapes.values())
    found = {
        "the most that is gathered at once": width * gathered,
        # In a bucket with none beside it, and copied to float32 twice.
        "the largest gradient while ranks sum it": (width + 8) * alone,
    }
    if execution.offload_optimizer == "none":
        found["the gradients of a group at its update"] = 4 * min(trained, GROUP_ELEMENTS)
    return found


def _passing(
    sizes: Sizes, shape: ModelShape, step: Step, execution: TrainingExecution, precision: Precision
) -> dict[str, int]:
    """What the loss takes, and the residual stream where blocks are recomputed from it."""
    width = BYTES[precision.products]
    positions = step.micro_batch * shape.context_tokens
    chunk = chunk_positions(positions, shape.vocab_size, width)
    found = {
        "the logits of a chunk": width * chunk * shape.vocab_size,
    }
    if not sizes.frozen:
        found["the gradient of the output matrix"] = width * shape.vocab_size * shape.hidden_size
    if execution.recompute_activations:
        elements = positions * shape.hidden_size * sizes.num_blocks
        found["the residual stream before every block"] = BYTES[precision.residuals] * elements
    return found
