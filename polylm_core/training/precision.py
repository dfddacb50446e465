"""What is computed in which precision, for a model under either engine.

Weights, sums of gradients and optimizer are float32; `bfloat16` is the precision of the factors of
matrix products and of what the attention kernel is given. The stream that every block adds to is
float32 on its own account: PolyLM (§3.3) saw spikes until it was, and until the softmax of the
attention was. That one always is: torch's fused kernels keep scores, maxima and sums in float32
and round what comes out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from polylm_core.training.job import TrainJob
from polylm_core.training.loss import LanguageModelLoss
from polylm_core.training.model import blocks

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class _LayerNorm(nn.LayerNorm):
    """A LayerNorm whose weights may be narrower than what it is given."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        return nn.functional.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


def set_precision(module: LanguageModelLoss, job: TrainJob, device_type: str) -> None:
    """Make a model compute as the job says; its weights are as the engine keeps them."""
    if job.precision == "float32":
        return
    compute, residual = DTYPES[job.precision], DTYPES[job.residual_precision]
    model = module.model
    for part in model.modules():
        if isinstance(part, nn.Embedding):
            part.register_forward_hook(_returns(residual))
        elif type(part) is nn.LayerNorm:
            part.__class__ = _LayerNorm
    for norm in _norms_of_blocks(model):
        norm.register_forward_hook(_returns(compute))
    module.head.precision = compute
    autocast = torch.autocast(device_type, compute, cache_enabled=False)
    setattr(module, "forward", autocast(module.forward))  # noqa: B010


def _norms_of_blocks(model: PreTrainedModel) -> list[nn.Module]:
    """What comes before the matrix products of the blocks."""
    return [
        part
        for block in blocks(model)
        for part in block.modules()
        if isinstance(part, nn.LayerNorm | LlamaRMSNorm)
    ]


def _returns(dtype: torch.dtype) -> Any:
    def cast(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
        return output.to(dtype)

    return cast
