"""How much a model computes, and how much an accelerator can: their ratio is the MFU of a run.

Model FLOPs utilisation (Chowdhery et al. 2022, PaLM, appendix B) is the speed of a run as a share
of the speed it would have if the accelerator did nothing but the model's own matrix products, at
its peak. What is computed twice to save memory does not count as work.
"""

from __future__ import annotations

import re

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

TERA = 1e12
PEAKS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("B200",), 2_250 * TERA),
    (("GH200",), 989.5 * TERA),
    (("H200", "NVL"), 835.5 * TERA),
    (("H200",), 989.5 * TERA),
    (("H100", "NVL"), 835.5 * TERA),
    (("H100", "PCIe"), 756.5 * TERA),
    (("H100",), 989.5 * TERA),
    (("H800", "PCIe"), 756.5 * TERA),
    (("H800",), 989.5 * TERA),
    (("H20",), 148 * TERA),
    (("A100",), 312 * TERA),
    (("A800",), 312 * TERA),
    (("A40",), 149.7 * TERA),
    (("A30",), 165 * TERA),
    (("A10",), 125 * TERA),
    (("L40S",), 362 * TERA),
    (("L40",), 181 * TERA),
    (("L4",), 121 * TERA),
)
"""Words in the name that CUDA has for a GPU, and the FLOP/s of its matrix units with bfloat16
factors and float32 sums, without sparsity: NVIDIA's data sheets, which give twice as much "with
sparsity" for all but A100, A40, A30 and A10. The first row whose words all occur counts."""


def flops_per_token(model: PreTrainedModel, context_tokens: int) -> int:
    """Return the operations of a forward and backward pass for a token of a full context.

    6 N + 6 L D T: each weight of a matrix product multiplies and adds once forward and twice
    backward, and so does each of the two products of attention. N are those weights: the output
    matrix is one, tied or not, and the embedding, which is looked up, is none. L are layers, D the
    width of all query heads together, T tokens of context. Causal attention is counted as what it
    needs, half of all pairs of positions, where PaLM counts all of them (12 L D T). A model on the
    meta device is enough. A frozen weight, beside an adapter, has no gradient of its own: 4 N.
    """
    matrices = [part for part in model.modules() if isinstance(part, nn.Linear | Conv1D)]
    products = sum(
        (6 if part.weight.requires_grad else 4) * part.weight.numel() for part in matrices
    )
    config = model.config
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    attention: int = 6 * config.num_hidden_layers * width * context_tokens
    return products + attention


def peak_flops(name: str) -> float | None:
    """Return the peak of the GPU of this name, in FLOP/s; none where it is not known.

    That includes a part of a GPU (MIG), whose name is that of the whole.
    """
    words = set(re.split(r"[\s-]", name))
    if "MIG" in words:
        return None
    return next((peak for needed, peak in PEAKS if words.issuperset(needed)), None)


def peak_tokens_per_second(
    model: PreTrainedModel, context_tokens: int, *, world_size: int
) -> float | None:
    """Return the speed of `world_size` GPUs like this process's at their peak.

    It is the speed of an MFU of 1; none without a GPU, or with one whose peak is not known.
    """
    if not torch.cuda.is_available():
        return None
    peak = peak_flops(torch.cuda.get_device_name())
    return None if peak is None else world_size * peak / flops_per_token(model, context_tokens)
