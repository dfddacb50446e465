"""DeepSpeed ZeRO-3 as an engine: parameters, gradients and optimizer state are sharded."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import deepspeed
import torch
from deepspeed.utils import (
    safe_get_local_fp32_param,
    safe_get_local_grad,
    safe_get_local_optimizer_state,
    safe_set_local_fp32_param,
    safe_set_local_grad,
    safe_set_local_optimizer_state,
)
from transformers import PreTrainedModel
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from polylm_core.errors import TrainingError
from polylm_core.training.engine import KINDS, Kind, Part, Read, share
from polylm_core.training.job import TrainJob
from polylm_core.training.loss import LanguageModelLoss
from polylm_core.training.optimizer import adamw


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
            "stage3_param_persistence_threshold": job.execution.persistent_parameter_elements,
            "stage3_model_persistence_threshold": sys.maxsize,
        },
        "zero_allow_untested_optimizer": True,
        "wall_clock_breakdown": False,
    }


class ShardedEngine:
    """A model under ZeRO-3 with AdamW."""

    def __init__(
        self, model: PreTrainedModel, job: TrainJob, *, micro_batch: int, steps: int
    ) -> None:
        # DeepSpeed calls functions that torch has given other names, thousands of times a minute.
        warnings.filterwarnings("ignore", r"`torch\.distributed\..* is deprecated", FutureWarning)
        module = LanguageModelLoss(model)
        # This operator serves inference only; compiling it takes half a minute and Python's
        # headers.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        # A block's weights are gathered together: hooks on each of its parts cost a sixth of a
        # step.
        deepspeed.utils.set_z3_leaf_modules(module, [GPT2Block])
        self._engine, *_ = deepspeed.initialize(
            model=module,
            optimizer=adamw(module, job),
            config=zero3_config(job, micro_batch=micro_batch, accumulation_steps=steps),
            dist_init_required=False,
        )
        self._scale = float(torch.distributed.get_world_size() * steps)
        self._named: list[tuple[str, Any]] = [
            (name, parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ]
        self._reset(updates=0)

    @property
    def device(self) -> torch.device:
        """Where the rank computes."""
        device: torch.device = self._engine.device
        return device

    @property
    def model(self) -> PreTrainedModel:
        """The decoder; its parameters are gathered only while a module computes."""
        model: PreTrainedModel = self._engine.module.model
        return model

    def losses(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the summed loss in training, the losses [B, T] in evaluation."""
        losses: torch.Tensor = self._engine(*inputs)
        return losses

    def logits(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Return the logits [B, T, V] in evaluation; every rank must call it."""
        logits: torch.Tensor = self._engine(ids_BT)
        return logits

    def backward(self, loss: torch.Tensor, *, last: bool) -> None:
        """Add a gradient; DeepSpeed takes means over ranks and micro-batches, a sum is wanted."""
        self._engine.backward(loss * self._scale)
        if not last:
            self._engine.step()

    def gradient_square(self) -> torch.Tensor:
        """Return the squared norm of the gradient's parts of this rank."""
        gradients = [safe_get_local_grad(parameter) for _, parameter in self._named]
        norms = torch.stack(torch._foreach_norm(gradients)).double()
        return norms.square().sum()

    def update(self, learning_rate: float, gradient_norm: float) -> None:
        """Clip, do the optimizer's step and forget the gradient."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.step()

    def drop(self) -> None:
        """Forget the gradient: DeepSpeed does, and steps not, where a gradient is no number."""
        skipped = self._engine.skipped_steps
        part, parameter = next(self._parts())
        poisoned = safe_get_local_grad(parameter).clone()
        # Not what fills up the last rank's share: no later gradient would overwrite it.
        poisoned[: part.stop - part.start] = torch.nan
        safe_set_local_grad(parameter, poisoned)
        self._engine.step()
        if self._engine.skipped_steps != skipped + 1:
            raise TrainingError("DeepSpeed did a step that was to be dropped; do not trust the run")

    def train(self, mode: bool) -> None:
        """Switch between training and evaluation."""
        self._engine.train(mode)

    def parts(self) -> Iterator[tuple[Part, Mapping[Kind, torch.Tensor]]]:
        """Yield this rank's part of every parameter with its state."""
        for part, parameter in self._parts():
            size = part.stop - part.start
            yield part, {kind: self._get(parameter, kind)[:size] for kind in KINDS}

    def _parts(self) -> Iterator[tuple[Part, Any]]:
        rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        for name, parameter in self._named:
            shape = tuple(parameter.ds_shape)
            yield Part(name, shape, *share(parameter.ds_numel, rank, world)), parameter

    def _get(self, parameter: Any, kind: Kind) -> torch.Tensor:
        found: torch.Tensor = (
            safe_get_local_fp32_param(parameter)
            if kind == "weight"
            else safe_get_local_optimizer_state(parameter, kind)
        )
        return found

    @property
    def updates(self) -> int:
        """Optimizer steps done."""
        states = self._engine.optimizer.optimizer.state.values()
        return next((int(state["step"]) for state in states), 0)

    def _reset(self, updates: int) -> None:
        """Start Adam's moments at zero, as it does itself, but before its first step."""
        optimizer = self._engine.optimizer
        for flat in optimizer.fp32_partitioned_groups_flat:
            optimizer.optimizer.state[flat] = {
                "step": torch.tensor(float(updates), device=flat.device),
                "exp_avg": torch.zeros_like(flat),
                "exp_avg_sq": torch.zeros_like(flat),
            }

    def restore(self, read: Read, updates: int) -> None:
        """Take the state from elsewhere: float32 first, then what computes is made from it."""
        optimizer = self._engine.optimizer
        optimizer.checkpoint_event_prologue()
        self._reset(updates)
        for part, parameter in self._parts():
            for kind in KINDS:
                padded = torch.zeros(parameter.ds_tensor.numel(), device=self.device)
                padded[: part.stop - part.start] = read(kind, part).to(self.device)
                if kind == "weight":
                    safe_set_local_fp32_param(parameter, padded)
                else:
                    safe_set_local_optimizer_state(parameter, padded, kind)
        for group in range(len(optimizer.fp16_groups)):
            optimizer._reassign_or_swap_out_partitioned_parameters(group)
        optimizer.checkpoint_event_epilogue()
