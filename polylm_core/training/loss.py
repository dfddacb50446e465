"""Next-token cross-entropy without ever holding the logits of a whole batch.

The output projection and the cross-entropy are one operation over chunks of positions: in place, a
chunk's logits become the gradient of the loss by them; from it come the gradients of the hidden
states and of the output matrix, and it is dropped (as in Liger Kernel, arXiv 2410.10989). On a GPU
Liger's own kernels are used where `liger-kernel` is installed.

Legend: B sequences, T tokens, N positions that count, C positions of a chunk, H hidden size,
V vocabulary entries.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from polylm_core.training.dataset import IGNORED_TARGET
from polylm_core.training.shares import chunk_positions

BLOCK_BYTES_CPU = 1 << 20
"""Float32 logits, for each thread, on which all passes of the softmax find them in the cache."""
BLOCK_BYTES_GPU = 1 << 26
"""The same on a GPU, where many small launches would cost more than the memory."""
BLOCKS_IN_A_CHUNK = 8
"""At least so many: with bfloat16 logits both then keep to an eighth of the whole logits."""


class LinearCrossEntropy(torch.autograd.Function):
    """The sum of -log p(target) in nats, from hidden states and the output matrix."""

    @staticmethod
    def forward(
        ctx: Any, hidden_NH: torch.Tensor, weight_VH: torch.Tensor, targets_N: torch.Tensor
    ) -> torch.Tensor:
        """Return the sum in at least float32; gradients are computed on the way."""
        wants_hidden, wants_weight, _ = ctx.needs_input_grad
        grad_hidden_NH = torch.empty_like(hidden_NH) if wants_hidden else None
        grad_weight_VH = torch.zeros_like(weight_VH) if wants_weight else None
        losses_N = _losses(hidden_NH, weight_VH, targets_N, grad_hidden_NH, grad_weight_VH)
        ctx.save_for_backward(grad_hidden_NH, grad_weight_VH)
        return losses_N.sum()

    @staticmethod
    def backward(
        ctx: Any, *grad_outputs: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        """Scale the gradients of the forward pass in place; torch refuses a second call."""
        scale = grad_outputs[0]
        grad_hidden_NH, grad_weight_VH = (
            None if gradient is None else gradient.mul_(scale) for gradient in ctx.saved_tensors
        )
        return grad_hidden_NH, grad_weight_VH, None


def _losses(
    hidden_NH: torch.Tensor,
    weight_VH: torch.Tensor,
    targets_N: torch.Tensor,
    grad_hidden_NH: torch.Tensor | None = None,
    grad_weight_VH: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return -log p(target) [N]; fill the one gradient of their sum and add to the other."""
    num_positions, vocab_size = len(hidden_NH), len(weight_VH)
    at_once = chunk_positions(num_positions, vocab_size, hidden_NH.element_size())
    logits_CV = hidden_NH.new_empty(min(at_once, num_positions), vocab_size)
    wide_CV = _wide_block(logits_CV)
    losses_N = wide_CV.new_empty(num_positions)
    differentiate = grad_hidden_NH is not None or grad_weight_VH is not None
    for begin in range(0, num_positions, at_once):
        chunk = slice(begin, begin + at_once)
        hidden_CH = hidden_NH[chunk]
        scores_CV = torch.mm(hidden_CH, weight_VH.t(), out=logits_CV[: len(hidden_CH)])
        losses_N[chunk] = _consume(scores_CV, targets_N[chunk], wide_CV, differentiate)
        if grad_hidden_NH is not None:
            torch.mm(scores_CV, weight_VH, out=grad_hidden_NH[chunk])
        if grad_weight_VH is not None:
            grad_weight_VH.addmm_(scores_CV.t(), hidden_CH)
    return losses_N


def _wide_block(logits_CV: torch.Tensor) -> torch.Tensor:
    """Return room for the logits of a block of positions in at least float32."""
    wide = torch.promote_types(logits_CV.dtype, torch.float32)
    on_cpu = logits_CV.device.type == "cpu"
    size = BLOCK_BYTES_CPU * torch.get_num_threads() if on_cpu else BLOCK_BYTES_GPU
    at_most = len(logits_CV) // BLOCKS_IN_A_CHUNK
    positions = max(1, min(at_most, size // (logits_CV.shape[1] * wide.itemsize)))
    return logits_CV.new_empty(positions, logits_CV.shape[1], dtype=wide)


def _consume(
    logits_CV: torch.Tensor, targets_C: torch.Tensor, wide_CV: torch.Tensor, differentiate: bool
) -> torch.Tensor:
    """Return -log p(target) [C]; turn the logits into the gradient of the sum by them if asked.

    Goes block by block and computes in the precision of `wide_CV`, in place where that is the
    logits' own.
    """
    losses = []
    for begin in range(0, len(logits_CV), len(wide_CV)):
        logits = logits_CV[begin : begin + len(wide_CV)]
        target = targets_C[begin : begin + len(wide_CV), None]
        exact = logits.dtype == wide_CV.dtype
        wide = logits if exact else wide_CV[: len(logits)].copy_(logits)
        wide -= wide.amax(1, keepdim=True)
        at_target = wide.gather(1, target)
        sums = wide.exp_().sum(1, keepdim=True)
        losses.append(sums.log() - at_target)
        if differentiate:
            wide *= sums.reciprocal()
            wide.scatter_(1, target, torch.expm1(-losses[-1]))  # p - 1
            logits.copy_(wide)
    return torch.cat(losses)[:, 0]


@functools.cache
def _fused_kernels() -> Callable[..., torch.Tensor] | None:
    """Return Liger's linear cross-entropy where it is installed."""
    if importlib.util.find_spec("liger_kernel") is None:
        return None
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    fused: Callable[..., torch.Tensor] = LigerFusedLinearCrossEntropyLoss(
        reduction="sum", accum_dtype=torch.float32
    )
    return fused


def summed_loss(
    hidden_NH: torch.Tensor, weight_VH: torch.Tensor, targets_N: torch.Tensor
) -> torch.Tensor:
    """Return the sum of -log p(target) in nats, in at least float32."""
    # Liger wants a position, and gives the matrix no gradient where the hidden states want none.
    if hidden_NH.is_cuda and hidden_NH.requires_grad and len(hidden_NH):
        fused = _fused_kernels()
        if fused is not None:
            return fused(weight_VH, hidden_NH, targets_N)
    apply: Any = LinearCrossEntropy.apply  # torch leaves it untyped
    loss: torch.Tensor = apply(hidden_NH, weight_VH, targets_N)
    return loss


class OutputHead(nn.Module):
    """The output matrix, tied to the embedding or not, with the loss.

    A module of its own, because ZeRO-3 gathers the weights a module owns when it is called.
    """

    def __init__(self, weight_VH: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight_VH
        self.precision = weight_VH.dtype
        """Of the factors of the projection."""

    def forward(self, hidden_BTH: torch.Tensor, targets_BT: torch.Tensor | None) -> torch.Tensor:
        """Return the summed loss in training, the losses [B, T] without gradients in evaluation.

        Without targets, the logits [B, T, V]; of a sample only, they are what the loss avoids.
        """
        weight_VH = self.weight.to(self.precision)
        hidden_BTH = hidden_BTH.to(self.precision)  # a residual stream may be wider
        if targets_BT is None:
            return hidden_BTH @ weight_VH.t()
        if self.training:
            counted_BT = targets_BT != IGNORED_TARGET
            if bool(counted_BT.all()):  # as in pretraining: nothing to copy
                return summed_loss(hidden_BTH.flatten(0, 1), weight_VH, targets_BT.flatten())
            return summed_loss(hidden_BTH[counted_BT], weight_VH, targets_BT[counted_BT])
        rows = zip(hidden_BTH, targets_BT, strict=True)
        return torch.stack([_losses_of_row(*row, weight_VH) for row in rows])


@torch.no_grad()
def _losses_of_row(
    hidden_TH: torch.Tensor, targets_T: torch.Tensor, weight_VH: torch.Tensor
) -> torch.Tensor:
    """Return the losses [T] of one sequence: the same bits whatever it is evaluated with."""
    counted_T = targets_T != IGNORED_TARGET
    losses_N = _losses(hidden_TH[counted_T], weight_VH, targets_T[counted_T])
    return losses_N.new_zeros(len(targets_T)).masked_scatter(counted_T, losses_N)


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
