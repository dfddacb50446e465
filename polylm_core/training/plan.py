"""What a training run would be, without running it and without torch: shares and bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

from polylm_core.settings import TrainingExecution
from polylm_core.training.batches import BatchSizes
from polylm_core.training.job import ModelShape
from polylm_core.training.shares import accumulation, chunk_positions, share, world_sizes
from polylm_core.training.sizes import Sizes

BYTES = {"float32": 4, "bfloat16": 2}
STATE_BYTES = 12
"""Of a parameter in a checkpoint: float32 weight and two moments."""
STATE_FILES = 3
"""Of each rank in a checkpoint."""
PROCESS_BYTES = 619_000_000
"""Of a rank on a processor before it has a model: resident after Python has imported torch,
transformers, Ray Train and DeepSpeed of constraints.txt."""
GROUP_ELEMENTS = 1_000_000_000
"""Of the parameters that DeepSpeed's optimizer takes at once (its `sub_group_size`)."""


@dataclass(frozen=True)
class Precision:
    """As `TrainJob` has them."""

    products: Literal["float32", "bfloat16"]
    residuals: Literal["float32", "bfloat16"]


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
    """While the gradient of a micro-batch is computed."""
    updating: Mapping[str, int]
    """While the optimizer does its step, when what is passing is gone."""

    @property
    def peak(self) -> int:
        """The most at once."""
        passing, updating = (sum(part.values()) for part in (self.passing, self.updating))
        return sum(self.held.values()) + max(passing, updating)


def memory_of(
    sizes: Sizes, shape: ModelShape, step: Step, execution: TrainingExecution, precision: Precision
) -> Memory:
    """Return the bytes of a rank; `shape.context_tokens` are those of a row of training."""
    whole = execution.sharding == "none"
    held, offloaded = _whole(sizes) if whole else _sharded(sizes, step, execution, precision)
    gathered, updating = ({}, {}) if whole else _gathered(sizes, step, execution, precision)
    if execution.accelerator == "cpu":
        held = {"the process: Python, torch, DeepSpeed, Ray": PROCESS_BYTES, **held}
    passing = {
        **gathered,
        **_activations(sizes, shape, step, execution, precision),
        **_loss(sizes, shape, step, precision),
    }
    return Memory(held, offloaded, passing, updating)


def _whole(sizes: Sizes) -> tuple[dict[str, int], dict[str, int]]:
    held = {
        "parameters": 4 * sizes.parameters,
        "gradients": 4 * sizes.trained,
        "optimizer": 8 * sizes.trained,
    }
    return held, {}


def _sharded(
    sizes: Sizes, step: Step, execution: TrainingExecution, precision: Precision
) -> tuple[dict[str, int], dict[str, int]]:
    """What ZeRO-3 holds of a model on a rank, and what it holds elsewhere."""
    padded = _padded(sizes.shapes, step.world_size)
    trained = _padded(sizes.trained_shapes, step.world_size)
    counts = [prod(each) for each in sizes.shapes.values()]
    small = sum(count for count in counts if count <= execution.persistent_parameter_elements)
    away, width = execution.offload_optimizer, BYTES[precision.products]
    bucket = execution.reduce_bucket_elements
    if execution.accelerator == "cpu":
        bucket = min(bucket, sizes.trained)  # memory that is never written to takes no room
    parts = [
        ("parameters", execution.offload_parameters, width * padded),
        # Beside an optimizer in memory DeepSpeed has the gradients twice, as sums and as its own.
        ("gradients", away, (8 if away == "cpu" else 4) * trained),
        ("optimizer", away, STATE_BYTES * trained),
        ("parameters that stay gathered", "none", width * small),
        ("buffer of gradients under way", "none", 4 * bucket),
    ]
    held = {what: size for what, place, size in parts if place == "none"}
    elsewhere = {f"{what}, on {place}": size for what, place, size in parts if place != "none"}
    return held, elsewhere


def model_states_of(sizes: Sizes, world_size: int) -> int:
    """Return the bytes of a rank as DeepSpeed's own estimator of ZeRO-3 counts them.

    Parameters, gradients and optimizer of its part in mixed precision, 2 + 4 + 12 bytes each, and
    parameters and gradients of the largest module, 2 + 2 bytes
    (`deepspeed.runtime.zero.stage3.estimate_zero3_model_states_mem_needs`); no activations.
    """
    part = _padded(sizes.shapes, world_size)
    return (BYTES["bfloat16"] + 4 + STATE_BYTES) * part + 4 * sizes.largest_module


def _gathered(
    sizes: Sizes, step: Step, execution: TrainingExecution, precision: Precision
) -> tuple[dict[str, int], dict[str, int]]:
    """What ZeRO-3 gathers and copies while a step computes, and while it is done."""
    width = BYTES[precision.products]
    largest = max(sizes.block, *sizes.outside_blocks.values())
    live = max(largest, execution.max_live_parameter_elements)
    gathered = min(sizes.parameters, live + execution.prefetch_parameter_elements)
    alone = max(prod(each) for each in sizes.trained_shapes.values())
    passing = {
        "parameters gathered at once": width * gathered,
        # In a bucket with none beside it, and copied to float32 twice.
        "largest gradient while ranks sum it": (width + 8) * alone,
    }
    if execution.offload_optimizer != "none":
        return passing, {}
    trained = _padded(sizes.trained_shapes, step.world_size)
    return passing, {"gradients of a group at its update": 4 * min(trained, GROUP_ELEMENTS)}


def block_activations(shape: ModelShape, precision: Precision) -> int:
    """Return the bytes a token that a block keeps for its backward pass, when all is kept.

    Korthikanti et al. 2022 (arXiv 2205.05198, section 4.1), without dropout and without the matrix
    of attention, which the fused kernels do not keep: what goes into the norms (of the residual
    stream), the matrices and the activation function. 32 bytes a token and width for GPT-2 with all
    of it in 16 bits, 34 in the paper with the masks of its dropout.
    """
    width = shape.hidden_size
    inner = shape.intermediate_size or 4 * width
    if shape.architecture == "llama":
        shared = (shape.num_kv_heads or shape.num_heads) * (width // shape.num_heads)
        # Normed twice; queries, keys, values and what attention gives; gate, its SiLU, up, product.
        kept = 2 * width + 2 * width + 2 * shared + 4 * inner
    else:
        # Normed twice; queries, keys, values and what attention gives; before and after the GELU.
        kept = 2 * width + 4 * width + 2 * inner
    return BYTES[precision.residuals] * 2 * width + BYTES[precision.products] * kept


def _activations(
    sizes: Sizes, shape: ModelShape, step: Step, execution: TrainingExecution, precision: Precision
) -> dict[str, int]:
    """What blocks keep for the backward pass, or the stream between them and what one keeps."""
    positions = step.micro_batch * shape.context_tokens
    block = positions * block_activations(shape, precision)
    if not execution.recompute_activations:
        return {"activations": block * sizes.num_blocks}
    stream = positions * shape.hidden_size * BYTES[precision.residuals]
    return {"activations: before every block, and of one": stream * sizes.num_blocks + block}


def _loss(sizes: Sizes, shape: ModelShape, step: Step, precision: Precision) -> dict[str, int]:
    """What the loss takes: logits of some positions at a time, and the gradient of their matrix."""
    width = BYTES[precision.products]
    chunk = chunk_positions(step.micro_batch * shape.context_tokens, shape.vocab_size, width)
    found = {"logits of a chunk": width * chunk * shape.vocab_size}
    if not sizes.frozen:
        found["gradient of the output matrix"] = width * shape.vocab_size * shape.hidden_size
    return found
