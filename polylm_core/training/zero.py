"""DeepSpeed ZeRO-3 around a model: parameters, gradients and optimizer state are sharded."""

from __future__ import annotations

import sys
from typing import Any

import deepspeed
import torch
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from polylm_core.errors import TrainingError
from polylm_core.training.job import TrainJob
from polylm_core.training.model import decay_groups


def accumulation(global_batch: int, world_size: int, max_micro_batch: int) -> tuple[int, int]:
    """Return (micro-batch, accumulation steps) of a rank for a global batch of sequences.

    Raises TrainingError when the ranks cannot share the batch evenly.
    """
    if global_batch % world_size:
        raise TrainingError(
            f"a global batch of {global_batch} sequences cannot be shared by {world_size} ranks; "
            "change global_batch_tokens, or training_workers in the profile"
        )
    share = global_batch // world_size
    micro = max(size for size in range(1, min(share, max_micro_batch) + 1) if share % size == 0)
    return micro, share // micro


def zero3_config(job: TrainJob, *, micro_batch: int, accumulation_steps: int) -> dict[str, Any]:
    """Return DeepSpeed's configuration; everything it could guess is stated."""
    return {
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": accumulation_steps,
        "gradient_clipping": job.adamw.max_gradient_norm,
        "bf16": {"enabled": job.precision == "bfloat16"},
        "zero_optimization": {
            "stage": 3,
            "overlap_comm": False,
            "contiguous_gradients": True,
            # Parameters this small stay gathered between passes: a model that fits the machine many
            # times over pays for each gathering and gains nothing by it.
            "stage3_param_persistence_threshold": job.persistent_parameter_elements,
            "stage3_model_persistence_threshold": sys.maxsize,
            "stage3_gather_16bit_weights_on_model_save": True,
        },
        "zero_allow_untested_optimizer": True,
        "wall_clock_breakdown": False,
    }


def shard(model: torch.nn.Module, job: TrainJob, *, micro_batch: int, steps: int) -> Any:
    """Return a DeepSpeed engine that trains `model` under ZeRO-3 with AdamW."""
    optimizer = torch.optim.AdamW(
        decay_groups(model, job.adamw.weight_decay),
        lr=job.schedule.peak,
        betas=(job.adamw.beta1, job.adamw.beta2),
        eps=job.adamw.epsilon,
        fused=True,  # one pass over the shard: on a CPU an eighth of the time
    )
    # This operator serves inference only; compiling it takes half a minute and Python's headers.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    # A block's weights are gathered together: hooks on each of its parts cost a sixth of a step.
    deepspeed.utils.set_z3_leaf_modules(model, [GPT2Block])
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=optimizer,
        config=zero3_config(job, micro_batch=micro_batch, accumulation_steps=steps),
        dist_init_required=False,
    )
    return engine


def gathered_state(engine: Any) -> dict[str, torch.Tensor] | None:
    """Return the whole model's weights on rank 0 (none on the others); every rank must call it."""
    state: dict[str, torch.Tensor] = {}
    module = engine.module.model
    rank = torch.distributed.get_rank()
    for name, parameter in module.named_parameters():
        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=None):
            if rank == 0:
                state[name] = parameter.detach().to("cpu", copy=True)
    if rank != 0:
        return None
    for name, buffer in module.named_buffers():
        state.setdefault(name, buffer.detach().cpu())
    shared = getattr(module, "all_tied_weights_keys", {})
    for copy, original in shared.items():
        state.setdefault(copy, state[original])
    return state
