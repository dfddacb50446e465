"""DeepSpeed ZeRO-3 as an engine: parameters, gradients and optimizer state are sharded."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import deepspeed
import torch
from deepspeed.runtime.zero.partition_parameters import DeepSpeedTensorOverride
from deepspeed.utils import (
    safe_get_local_grad,
    safe_set_local_grad,
)
from transformers import PreTrainedModel

from polylm_core.errors import TrainingError
from polylm_core.training.deepspeed_options import (
    DeepSpeedOptions,
    options_of,
    require_as_asked,
    require_nvme,
)
from polylm_core.training.engine import KINDS, Kind, Part, Read
from polylm_core.training.initialise import initial_state
from polylm_core.training.job import TrainJob
from polylm_core.training.loss import LanguageModelLoss
from polylm_core.training.model import blocks, empty_for, initial_values
from polylm_core.training.optimizer import adamw
from polylm_core.training.precision import DTYPES
from polylm_core.training.prepare import prepare
from polylm_core.training.shares import share


class ShardedEngine:
    """A model under ZeRO-3 with AdamW, in parts from the beginning: no rank ever has it whole."""

    def __init__(self, job: TrainJob, *, micro_batch: int, steps: int) -> None:
        require_nvme(job)
        # DeepSpeed calls functions that torch has given other names, thousands of times a minute.
        warnings.filterwarnings("ignore", r"`torch\.distributed\..* is deprecated", FutureWarning)
        # This operator serves inference only; compiling it takes half a minute and Python's
        # headers.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        options = options_of(job, micro_batch=micro_batch, accumulation_steps=steps)
        model = _empty_in_parts(job, options)
        _fill_frozen(job, model)
        if job.lora is not None:
            # DeepSpeed gathers a block for its backward pass by the gradient of its input.
            model.enable_input_require_grads()  # type: ignore[no-untyped-call]
        module = LanguageModelLoss(model)
        prepare(module, job)
        # A block's weights are gathered together: hooks on each of its parts cost a sixth of a
        # step.
        deepspeed.utils.set_z3_leaf_modules(module, list({type(block) for block in blocks(model)}))
        self._engine, *_ = deepspeed.initialize(
            model=module,
            optimizer=adamw(module, job),
            config=options.model_dump(mode="json"),
            dist_init_required=False,
        )
        require_as_asked(options, self._engine)
        # Left out here, parameters that stay gathered are so by their first use after an update: a
        # module's in one message, not one message each.
        self._engine.optimizer.persistent_parameters = []
        self._norm: float | None = None
        self._norms_of_groups = self._engine.optimizer._get_norm_groups
        self._engine.optimizer._get_norm_groups = self._known_norm
        self._scale = float(torch.distributed.get_world_size() * steps)
        self._named: list[tuple[str, Any]] = [
            (name, parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ]
        self._names = {parameter.ds_id: name for name, parameter in self._named}
        self.restore(initial_state(initial_values(job, model)), updates=0)

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
        # By its own count all steps would have as many micro-batches.
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss * self._scale)
        if not last:
            self._engine.step()

    def gradient_square(self) -> torch.Tensor:
        """Return the squared norm of the gradient's parts of this rank."""
        optimizer = self._engine.optimizer
        if optimizer.offload_optimizer:  # DeepSpeed took them before it let the gradient go
            norms = torch.stack([norm.double() for norm in optimizer.norm_for_param_grads.values()])
        else:
            gradients = [safe_get_local_grad(parameter) for _, parameter in self._named]
            norms = torch.stack(torch._foreach_norm(gradients)).double()
        return norms.square().sum()

    def update(self, learning_rate: float, gradient_norm: float) -> None:
        """Clip, do the optimizer's step and forget the gradient."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        skipped = self._engine.skipped_steps
        self._norm = gradient_norm
        self._engine.step()
        self._norm = None
        if self._engine.skipped_steps != skipped:
            raise TrainingError(
                f"DeepSpeed left out a step whose gradient's norm is {gradient_norm:g}; run again, "
                "it goes on from the last checkpoint"
            )

    def _known_norm(self) -> list[torch.Tensor]:
        """Return the norm that an update is given, which DeepSpeed would sum over the ranks again.

        Where it has to look, it does: a gradient that is to be dropped has none that is known.
        """
        if self._norm is None or self._engine.optimizer.offload_optimizer:
            norms: list[torch.Tensor] = self._norms_of_groups()
            return norms
        return [torch.tensor(self._norm, device=self.device)]

    def drop(self) -> None:
        """Forget the gradient: DeepSpeed does, and steps not, where a gradient is no number."""
        skipped = self._engine.skipped_steps
        parameter = self._engine.optimizer.fp16_groups[0][0]
        part, _ = next(self._parts(0))
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

    def parts(
        self, kinds: Sequence[Kind] = KINDS
    ) -> Iterator[tuple[Part, Mapping[Kind, torch.Tensor]]]:
        """Yield this rank's part of every parameter with these of its state."""
        for group in range(len(self._engine.optimizer.fp16_groups)):
            with self._at_hand(group) as state:
                lasting = not self._swapped(group)
                for part, place in self._parts(group):
                    held = {kind: state[kind][place] for kind in kinds}
                    yield part, held if lasting else {k: held[k].clone() for k in kinds}

    def _parts(self, group: int) -> Iterator[tuple[Part, slice]]:
        """Yield each part of a group of parameters, and where it is in the group's state."""
        rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        begin = 0
        for parameter in self._engine.optimizer.fp16_groups[group]:
            cut = share(parameter.ds_numel, rank, world)
            name = self._names[parameter.ds_id]
            part = Part(name, tuple(parameter.ds_shape), *cut)
            yield part, slice(begin, begin + part.stop - part.start)
            begin += parameter.ds_tensor.ds_numel  # parts are padded to one size

    def _swapped(self, group: int) -> bool:
        """Whether a group's state is on a disk between steps."""
        swapped: bool = self._engine.optimizer._swappable_optimizer_subgroup(group)
        return swapped

    @contextmanager
    def _at_hand(self, group: int, *, writes: bool = False) -> Iterator[dict[Kind, torch.Tensor]]:
        """Give a group's state, which without `writes` stays as it is.

        It starts as Adam starts it, but before the first step.
        """
        optimizer = self._engine.optimizer
        if self._swapped(group):
            optimizer._optimizer_states_and_gradient_swap_in(group)
        flat = optimizer.fp32_partitioned_groups_flat[group]
        state = optimizer.optimizer.state[flat]
        if not state:
            state["step"] = torch.zeros((), device=flat.device)
            state |= {kind: torch.zeros_like(flat) for kind in KINDS if kind != "weight"}
        yield {kind: flat.detach() if kind == "weight" else state[kind] for kind in KINDS}
        if self._swapped(group) and writes:
            optimizer._optimizer_states_and_gradient_swap_out(group)
        elif self._swapped(group):
            optimizer._release_swap_buffers(group)

    @property
    def updates(self) -> int:
        """Optimizer steps done."""
        states = self._engine.optimizer.optimizer.state.values()
        return next((int(state["step"]) for state in states), 0)

    def restore(self, read: Read, updates: int) -> None:
        """Take the state from elsewhere: float32 first, then what computes is made from it."""
        optimizer = self._engine.optimizer
        optimizer.checkpoint_event_prologue()
        for group in range(len(optimizer.fp16_groups)):
            with self._at_hand(group, writes=True) as state:
                for kind in KINDS:
                    state[kind].zero_()  # padding too
                for part, place in self._parts(group):
                    for kind in KINDS:
                        state[kind][place] = read(kind, part)
                optimizer._reassign_or_swap_out_partitioned_parameters(group)
        for state in optimizer.optimizer.state.values():
            state["step"].fill_(updates)
        optimizer.checkpoint_event_epilogue()


def _empty_in_parts(job: TrainJob, options: DeepSpeedOptions) -> PreTrainedModel:
    """Return the model without values, each weight cut as soon as its module exists."""
    parts = deepspeed.zero.Init(
        config_dict_or_path=options.model_dump(mode="json"),
        # Not the precision: it is the model's to say, which keeps rotary wavelengths in float32.
        tensor_overrides=[DeepSpeedTensorOverride.device],
    )
    with parts:
        return empty_for(job, DTYPES[job.precision])


def _fill_frozen(job: TrainJob, model: PreTrainedModel) -> None:
    """Give the parameters that no optimizer knows their values, this rank's part of each.

    Raises TrainingError where parts lie on a disk, which only the optimizer writes to.
    """
    frozen: list[tuple[str, Any]] = [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    ]
    if frozen and job.execution.offload_parameters == "nvme":
        raise TrainingError(
            "training.offload_parameters nvme does not go with LoRA, whose frozen weights would "
            "have to be written there; use cpu or none"
        )
    values = initial_values(job, model)
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    for name, parameter in frozen:
        start, stop = share(parameter.ds_numel, rank, world)
        part = Part(name, tuple(parameter.ds_shape), start, stop)
        parameter.ds_tensor.data[: stop - start].copy_(values(part))
