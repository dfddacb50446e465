"""DeepSpeed's configuration as typed options, and whether it runs with them.

Names are DeepSpeed's own. Nothing that it could guess from the machine is left out, and nothing
that it ignores or overrides goes unnoticed: what its engine was made with is compared to what was
asked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict

from polylm_core.errors import MachineError, TrainingError
from polylm_core.training.job import TrainJob
from polylm_core.training.model import blocks, configuration, empty_model


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Enabled(_Options):
    """A section that is only switched on or off."""

    enabled: bool


class DataTypes(_Options):
    """Precision of what is summed over micro-batches."""

    grad_accum_dtype: Literal["fp32"] = "fp32"


class Offloading(_Options):
    """Where partitions lie that are not computed with."""

    device: Literal["none", "cpu", "nvme"]
    nvme_path: Path | None
    pin_memory: bool
    """Page-locked memory, from which a GPU copies while it computes."""


class ParameterOffloading(Offloading):
    """Parameters that lie on a disk come back through a pool of buffers; see `_pool`."""

    buffer_count: int
    buffer_size: int
    """Elements."""


class Zero(_Options):
    """ZeRO-3 (Rajbhandari et al. 2020, 2021)."""

    stage: Literal[3] = 3
    overlap_comm: bool
    contiguous_gradients: bool = True
    reduce_scatter: bool
    """Without it every rank has whole sums, and keeps its part: gloo takes a third of the time."""
    reduce_bucket_size: int
    stage3_prefetch_bucket_size: int
    stage3_max_live_parameters: int
    stage3_max_reuse_distance: int
    stage3_param_persistence_threshold: int
    """Parameters this small stay gathered between passes: a model that fits the machine many times
    over pays for each gathering and gains nothing by it."""
    stage3_model_persistence_threshold: int = sys.maxsize
    offload_optimizer: Offloading
    offload_param: ParameterOffloading


class DeepSpeedOptions(_Options):
    """All that DeepSpeed is told."""

    train_micro_batch_size_per_gpu: int
    gradient_accumulation_steps: int
    gradient_clipping: float
    bf16: Enabled
    data_types: DataTypes = DataTypes()
    communication_data_type: Literal["fp32"] = "fp32"
    """Of gradients that are summed over the ranks, as PolyLM's scripts have it."""
    zero_optimization: Zero
    zero_allow_untested_optimizer: Literal[True] = True
    zero_force_ds_cpu_optimizer: Literal[False] = False
    """torch's fused AdamW runs on a CPU too, where the optimizer is offloaded to it."""
    wall_clock_breakdown: Literal[False] = False


def options_of(job: TrainJob, *, micro_batch: int, accumulation_steps: int) -> DeepSpeedOptions:
    """Return the options of a job."""
    execution = job.execution
    folder = None if execution.nvme_folder is None else Path(execution.nvme_folder)
    pin_memory = execution.accelerator == "gpu"

    def offloading(device: Literal["none", "cpu", "nvme"]) -> dict[str, Any]:
        path = folder if device == "nvme" else None
        return {"device": device, "nvme_path": path, "pin_memory": pin_memory}

    count, size = _pool(job)
    return DeepSpeedOptions(
        train_micro_batch_size_per_gpu=micro_batch,
        gradient_accumulation_steps=accumulation_steps,
        gradient_clipping=job.adamw.max_gradient_norm,
        bf16=Enabled(enabled=job.precision == "bfloat16"),
        zero_optimization=Zero(
            overlap_comm=execution.overlap_communication,
            reduce_scatter=execution.accelerator == "gpu",
            reduce_bucket_size=execution.reduce_bucket_elements,
            stage3_prefetch_bucket_size=execution.prefetch_parameter_elements,
            stage3_max_live_parameters=execution.max_live_parameter_elements,
            stage3_max_reuse_distance=execution.max_live_parameter_elements,
            stage3_param_persistence_threshold=execution.persistent_parameter_elements,
            offload_optimizer=Offloading(**offloading(execution.offload_optimizer)),
            offload_param=ParameterOffloading(
                **offloading(execution.offload_parameters), buffer_count=count, buffer_size=size
            ),
        ),
    )


def _pool(job: TrainJob) -> tuple[int, int]:
    """Return how many buffers parameters on a disk need, and of how many elements.

    A block's are fetched in one go, while one outside the blocks may be held; each rank's part of
    the largest has to fit. DeepSpeed's own numbers hold four matrices of 10**8 elements.
    """
    if job.execution.offload_parameters != "nvme":
        return DEFAULT_POOL
    with torch.device("meta"):
        model = empty_model(configuration(job))
    largest = max(parameter.numel() for parameter in model.parameters())
    in_block = max(len(list(block.parameters())) for block in blocks(model))
    return in_block + 2, -(-largest // torch.distributed.get_world_size())


def flattened(options: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every option by its dotted name."""
    for name in type(options).model_fields:
        value = getattr(options, name)
        if isinstance(value, BaseModel):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


DEFAULT_POOL = 5, 100_000_000
"""DeepSpeed's buffers for parameters on a disk, which are not made where none is."""
DTYPES = {"fp32": torch.float32}
_ZERO = "zero_optimization."
"""What each option is in a running engine. Private names where DeepSpeed has no others: the test
that starts an engine fails when they go."""
RUNNING: Mapping[str, Callable[[Any], Any]] = {
    "train_micro_batch_size_per_gpu": lambda engine: engine.train_micro_batch_size_per_gpu(),
    "gradient_accumulation_steps": lambda engine: engine.gradient_accumulation_steps(),
    "gradient_clipping": lambda engine: engine.optimizer.clip_grad,
    "bf16.enabled": lambda engine: engine.optimizer.dtype == torch.bfloat16,
    "data_types.grad_accum_dtype": lambda engine: engine.optimizer.gradient_accumulation_dtype,
    "communication_data_type": lambda engine: engine.optimizer.communication_data_type,
    "zero_allow_untested_optimizer": lambda engine: engine.zero_allow_untested_optimizer(),
    "zero_force_ds_cpu_optimizer": lambda engine: engine.zero_force_ds_cpu_optimizer(),
    "wall_clock_breakdown": lambda engine: engine.wall_clock_breakdown(),
    _ZERO + "stage": lambda engine: int(engine.zero_optimization_stage()),
    _ZERO + "overlap_comm": lambda engine: _overlaps(engine),
    _ZERO + "contiguous_gradients": lambda engine: engine.optimizer.contiguous_gradients,
    _ZERO + "reduce_scatter": lambda engine: engine.optimizer.reduce_scatter,
    _ZERO + "reduce_bucket_size": lambda engine: engine.optimizer.reduce_bucket_size,
    _ZERO + "stage3_prefetch_bucket_size": lambda engine: _fetching(engine)._prefetch_bucket_sz,
    _ZERO + "stage3_max_live_parameters": lambda engine: (
        _fetching(engine)._max_available_parameters_in_numel
    ),
    _ZERO + "stage3_max_reuse_distance": lambda engine: (
        _fetching(engine)._max_reuse_distance_in_numel
    ),
    _ZERO + "stage3_param_persistence_threshold": lambda engine: (
        _fetching(engine).param_numel_persistence_threshold
    ),
    _ZERO + "stage3_model_persistence_threshold": lambda engine: (
        _fetching(engine).model_persistence_threshold
    ),
    _ZERO + "offload_optimizer.device": lambda engine: _device_of_optimizer(engine.optimizer),
    _ZERO + "offload_optimizer.nvme_path": lambda engine: engine.zero_offload_optimizer().nvme_path,
    _ZERO + "offload_optimizer.pin_memory": lambda engine: (
        engine.zero_offload_optimizer().pin_memory
    ),
    _ZERO + "offload_param.device": lambda engine: _device_of_parameters(engine.optimizer),
    _ZERO + "offload_param.nvme_path": lambda engine: engine.zero_offload_param().nvme_path,
    _ZERO + "offload_param.pin_memory": lambda engine: engine.zero_offload_param().pin_memory,
    _ZERO + "offload_param.buffer_count": lambda engine: engine.zero_offload_param().buffer_count,
    _ZERO + "offload_param.buffer_size": lambda engine: engine.zero_offload_param().buffer_size,
}


def _fetching(engine: Any) -> Any:
    return engine.optimizer.parameter_offload


def _overlaps(engine: Any) -> bool:
    """A device that finishes what it is told before it goes on has no streams to overlap."""
    streams = engine.optimizer.reduce_and_partition_stream is not None
    return bool(streams and engine.zero_overlap_comm())


def _device_of_optimizer(optimizer: Any) -> str:
    if not optimizer.offload_optimizer:
        return "none"
    return "nvme" if optimizer.swap_optimizer else "cpu"


def _device_of_parameters(optimizer: Any) -> str:
    if not optimizer.offload_param:
        return "none"
    return "nvme" if optimizer.params_in_nvme_and_cpu else "cpu"


def require_as_asked(options: DeepSpeedOptions, engine: Any) -> None:
    """Raise TrainingError with every option that a running engine has otherwise than asked."""
    problems = []
    for name, asked in flattened(options):
        got = RUNNING[name](engine)
        if got != DTYPES.get(asked, asked):
            problems.append(f"{name} was asked as {asked} and is {got}")
    if problems:
        raise TrainingError(
            f"DeepSpeed does not run as configured: {'; '.join(problems)}. Ask for what it does in "
            "the profile, or install the release of DeepSpeed that constraints.txt names"
        )


def require_nvme(job: TrainJob) -> None:
    """Raise MachineError when something is to be offloaded to a disk and that cannot be done."""
    if "nvme" not in (job.execution.offload_optimizer, job.execution.offload_parameters):
        return
    from deepspeed.ops.op_builder import AsyncIOBuilder

    reason = "it is not there"
    if AsyncIOBuilder().is_compatible():
        try:
            AsyncIOBuilder().load()  # compiled when it is first asked for
            return
        # The compiler's failures and the loader's have no class in common.
        except Exception as error:
            reason = f"DeepSpeed cannot use it: {error}"
    raise MachineError(
        f"offloading to `nvme` needs libaio, and {reason}; apt install libaio-dev on every "
        "machine, or offload to `cpu` in the profile"
    )
