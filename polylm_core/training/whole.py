"""One rank that holds the whole model, as an engine: no sharding, and nothing paid for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from transformers import PreTrainedModel

from polylm_core.training.engine import KINDS, Kind, Part, Read
from polylm_core.training.job import TrainJob
from polylm_core.training.loss import LanguageModelLoss
from polylm_core.training.optimizer import adamw
from polylm_core.training.prepare import device_type, prepare


class WholeEngine:
    """A model with AdamW; its weights are float32 in every precision of training."""

    def __init__(self, model: PreTrainedModel, job: TrainJob) -> None:
        self.device = torch.device(device_type(job))
        self.model = model
        self._module = LanguageModelLoss(model).to(self.device)
        prepare(self._module, job)
        self._optimizer = adamw(self._module, job)
        self._max_norm = job.adamw.max_gradient_norm
        self._named = [
            (name, parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ]
        for _, parameter in self._named:  # as Adam starts itself, but before its first step
            self._optimizer.state[parameter] = {
                "step": torch.zeros((), device=self.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def losses(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the summed loss in training, the losses [B, T] in evaluation."""
        losses: torch.Tensor = self._module(*inputs)
        return losses

    def logits(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Return the logits [B, T, V] in evaluation."""
        logits: torch.Tensor = self._module(ids_BT)
        return logits

    def backward(self, loss: torch.Tensor, *, last: bool) -> None:
        """Add a gradient."""
        loss.backward()  # type: ignore[no-untyped-call]

    def gradient_square(self) -> torch.Tensor:
        """Return the squared norm of the gradient."""
        gradients = [value.grad for _, value in self._named if value.grad is not None]
        norms = torch.stack(torch._foreach_norm(gradients)).double()
        return norms.square().sum()

    def update(self, learning_rate: float, gradient_norm: float) -> None:
        """Clip, do the optimizer's step and forget the gradient."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        if 0 < self._max_norm < gradient_norm:
            gradients = [value.grad for _, value in self._named if value.grad is not None]
            torch._foreach_mul_(gradients, self._max_norm / gradient_norm)
        self._optimizer.step()
        self.drop()

    def drop(self) -> None:
        """Forget the gradient."""
        self._optimizer.zero_grad(set_to_none=True)

    def train(self, mode: bool) -> None:
        """Switch between training and evaluation."""
        self._module.train(mode)

    def parts(
        self, kinds: Sequence[Kind] = KINDS
    ) -> Iterator[tuple[Part, Mapping[Kind, torch.Tensor]]]:
        """Yield every parameter with these of its state."""
        for name, parameter in self._named:
            state = self._optimizer.state[parameter]
            whole = Part(name, tuple(parameter.shape), 0, parameter.numel())
            held = {"weight": parameter.detach(), **state}
            yield whole, {kind: held[kind].view(-1) for kind in kinds}

    @property
    def updates(self) -> int:
        """Optimizer steps done."""
        return next((int(state["step"]) for state in self._optimizer.state.values()), 0)

    def restore(self, read: Read, updates: int) -> None:
        """Take the state from elsewhere."""
        with torch.no_grad():
            for name, parameter in self._named:
                whole = Part(name, tuple(parameter.shape), 0, parameter.numel())
                values = {
                    kind: read(kind, whole).view(parameter.shape).to(self.device) for kind in KINDS
                }
                parameter.copy_(values["weight"])
                self._optimizer.state[parameter] = {
                    "step": torch.tensor(float(updates), device=self.device),
                    "exp_avg": values["exp_avg"],
                    "exp_avg_sq": values["exp_avg_sq"],
                }
