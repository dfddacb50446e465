"""Next-token cross-entropy without ever holding the logits of a whole batch.

The output projection and the cross-entropy are one operation over chunks of positions: a chunk's
logits are turned into its loss and, in the same pass, into its gradients, and are then dropped (as
in Liger Kernel, arXiv 2410.10989). On a CPU a chunk stays in the cache, which is most of the gain.

Legend: B sequences, T tokens, N positions that count, H hidden size, V vocabulary entries.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from polylm_core.training.dataset import IGNORED_TARGET

CHUNK_POSITIONS = 256
"""Positions whose logits exist at once; 256 x 8,000 float32 are 8 MB."""


class LinearCrossEntropy(torch.autograd.Function):
    """-log p(target) in nats by position, from hidden states and the output matrix."""

    @staticmethod
    def forward(
        ctx: Any, hidden_NH: torch.Tensor, weight_VH: torch.Tensor, targets_N: torch.Tensor
    ) -> torch.Tensor:
        """Return the sum of the losses, float32; gradients are computed on the way."""
        wants_gradient = any(ctx.needs_input_grad)
        total = hidden_NH.new_zeros((), dtype=torch.float32)
        grad_hidden_NH = torch.empty_like(hidden_NH) if wants_gradient else None
        grad_weight_VH = torch.zeros_like(weight_VH) if wants_gradient else None
        for begin in range(0, len(targets_N), CHUNK_POSITIONS):
            chunk = slice(begin, begin + CHUNK_POSITIONS)
            hidden, target = hidden_NH[chunk], targets_N[chunk, None]
            probabilities, losses = _softmax_and_losses(hidden @ weight_VH.t(), target)
            total += losses.sum()
            if grad_hidden_NH is not None and grad_weight_VH is not None:
                probabilities.scatter_add_(1, target, probabilities.new_full(target.shape, -1.0))
                gradient = probabilities.to(hidden.dtype)
                grad_hidden_NH[chunk] = gradient @ weight_VH
                grad_weight_VH.addmm_(gradient.t(), hidden)
        if wants_gradient:
            ctx.save_for_backward(grad_hidden_NH, grad_weight_VH)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Scale the gradients that the forward pass computed."""
        grad_hidden_NH, grad_weight_VH = ctx.saved_tensors
        scale = grad_outputs[0]
        return grad_hidden_NH * scale, grad_weight_VH * scale, None


def _softmax_and_losses(
    logits: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return softmax(logits) in float32, computed in place, and -log p(target)."""
    logits = logits.float()
    logits -= logits.amax(1, keepdim=True)
    at_target = logits.gather(1, target)
    logits.exp_()
    sums = logits.sum(1, keepdim=True)
    logits /= sums
    return logits, sums.log() - at_target


class OutputHead(nn.Module):
    """The output matrix, tied to the embedding, with the loss.

    A module of its own, because ZeRO-3 gathers the weights a module owns when it is called.
    """

    def __init__(self, weight_VH: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight_VH

    def forward(self, hidden_BTH: torch.Tensor, targets_BT: torch.Tensor | None) -> torch.Tensor:
        """Return the summed loss in training, the losses [B, T] in evaluation.

        Without targets it is the logits [B, T, V].
        """
        if targets_BT is None:
            return hidden_BTH @ self.weight.t()
        if self.training:
            counted_BT = targets_BT != IGNORED_TARGET
            hidden_NH, targets_N = hidden_BTH[counted_BT], targets_BT[counted_BT]
            apply: Any = LinearCrossEntropy.apply  # torch leaves it untyped
            loss: torch.Tensor = apply(hidden_NH, self.weight, targets_N)
            return loss
        rows = [
            self._losses(hidden_TH, targets_T)
            for hidden_TH, targets_T in zip(hidden_BTH, targets_BT, strict=True)
        ]
        return torch.stack(rows)

    def _losses(self, hidden_TH: torch.Tensor, targets_T: torch.Tensor) -> torch.Tensor:
        target = targets_T.clamp(min=0)[:, None]
        _, losses = _softmax_and_losses(hidden_TH @ self.weight.t(), target)
        return losses[:, 0].masked_fill(targets_T == IGNORED_TARGET, 0.0)


class LanguageModelLoss(nn.Module):
    """A causal language model and its loss as one module, which is what ZeRO-3 shards."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        projection: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        self.head = OutputHead(projection.weight)

    def forward(
        self,
        ids_BT: torch.Tensor,
        targets_BT: torch.Tensor | None = None,
        mask_B1TT: torch.Tensor | None = None,
        positions_BT: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the summed loss in nats in training, the losses [B, T] in evaluation.

        Without targets it is the logits [B, T, V].
        """
        output = self.model.base_model(
            input_ids=ids_BT,
            attention_mask=mask_B1TT,
            position_ids=positions_BT,
            use_cache=False,
        )
        loss: torch.Tensor = self.head(output.last_hidden_state, targets_BT)
        return loss
