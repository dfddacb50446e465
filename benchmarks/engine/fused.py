"""Liger's fused loss for Trainer's model: `use_liger_kernel` does nothing for a GPT-2.

Liger gives the models on its list a forward pass that goes from the hidden states to the loss
without logits; this gives the same to any causal model. Without it Trainer has the full logits, of
256,000 entries a position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

SummedLoss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""From output matrix [V, H], hidden states [N, H] and targets [N] to the summed loss."""


def liger_loss() -> SummedLoss:
    """Return Liger's loss, set as our own side sets it.

    It stays out of the compiled graph, which its launches of kernels would cut up otherwise.
    """
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    fused = LigerFusedLinearCrossEntropyLoss(reduction="sum", accum_dtype=torch.float32)
    apart: SummedLoss = torch.compiler.disable(fused)  # type: ignore[no-untyped-call]
    return apart


def fuse_loss(model: PreTrainedModel, loss: SummedLoss, precision: torch.dtype) -> None:
    """Make a model's forward pass return its loss alone, with factors of this precision.

    They are cast once: under autocast each of Liger's chunks would cast the output matrix anew.
    """
    projection: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]

    def forward(
        input_ids: torch.Tensor,
        labels: torch.Tensor,
        shift_labels: torch.Tensor,
        num_items_in_batch: torch.Tensor,
        **_: Any,  # by which Trainer knows that the loss is a mean over the whole batch
    ) -> CausalLMOutput:
        output = model.base_model(input_ids=input_ids, use_cache=False)
        hidden_NH = output.last_hidden_state.flatten(0, 1).to(precision)
        total = loss(projection.weight.to(precision), hidden_NH, shift_labels.flatten())
        return CausalLMOutput(loss=total / num_items_in_batch)

    setattr(model, "forward", forward)  # noqa: B010
