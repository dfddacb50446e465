"""Causal attention for processors, as matrix products of whole blocks of positions.

torch's fused kernel for processors multiplies tiles too small for their matrix units, in float32
whatever `torch.set_float32_matmul_precision` says; of a small model's step it takes most. Here a
block of queries meets all keys before its end at once. Only the forward pass of narrow factors is
torch's, which need not copy them. Scores and softmax are float32; they are computed again in the
backward pass, so that memory grows with the context and not with its square.

Legend: B sequences, N heads, T tokens, D size of a head, G = B x N, Q queries of a block, K keys.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

BLOCK_QUERIES = 128
NAME = "polylm_blocks"


EXACT = torch.autocast("cpu", enabled=False)
"""Scores stay float32 under autocast, which would narrow their factors and so them."""


class CausalAttention(torch.autograd.Function):
    """softmax(Q K^T) V, where a position sees itself and those before it."""

    @staticmethod
    @EXACT  # type: ignore[untyped-decorator]
    def forward(
        ctx: Any,
        query_BNTD: torch.Tensor,
        key_BNTD: torch.Tensor,
        value_BNTD: torch.Tensor,
        scale: float,
        mask_B1TT: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return [B, T, N, D] in the precision of the queries; a mask says what else is unseen."""
        ctx.scale = scale
        if query_BNTD.dtype != torch.float32:
            ctx.save_for_backward(query_BNTD, key_BNTD, value_BNTD, mask_B1TT)
            output_BNTD = scaled_dot_product_attention(
                query_BNTD,
                key_BNTD,
                value_BNTD,
                attn_mask=mask_B1TT,
                is_causal=mask_B1TT is None,
                scale=scale,
            )
            return output_BNTD.transpose(1, 2)
        query, key, value = _factors(query_BNTD, key_BNTD, value_BNTD, scale)
        ctx.save_for_backward(query, key, value, mask_B1TT)
        batch, heads, length, size = query_BNTD.shape
        output_BTND = query_BNTD.new_empty(batch, length, heads, size)
        for begin, end in _blocks(length):
            seen_GQK = _probabilities(query, key, begin, end, mask_B1TT)
            block = torch.bmm(seen_GQK, value[:, :end])
            output_BTND[:, begin:end] = block.view(batch, heads, -1, size).transpose(1, 2)
        return output_BTND

    @staticmethod
    @EXACT  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of queries, keys and values."""
        query, key, value, mask_B1TT = ctx.saved_tensors
        if query.dtype != torch.float32:
            query, key, value = _factors(query, key, value, ctx.scale)
        batch, length, heads, size = grad_outputs[0].shape
        gradient = _folded(grad_outputs[0].transpose(1, 2))
        of_query, of_key, of_value = (torch.empty_like(query) for _ in range(3))
        for begin, end in _blocks(length):
            seen_GQK = _probabilities(query, key, begin, end, mask_B1TT)
            above = torch.bmm(gradient[:, begin:end], value[:, :end].transpose(1, 2))
            of_scores = torch.ops.aten._softmax_backward_data(above, seen_GQK, -1, above.dtype)
            of_query[:, begin:end] = torch.bmm(of_scores, key[:, :end])
            for total, left, right in (
                (of_value, seen_GQK, gradient[:, begin:end]),
                (of_key, of_scores, query[:, begin:end]),
            ):
                # The last block, which comes first, has all keys, so nothing need be zeroed.
                first = end == length
                total[:, :end].baddbmm_(left.transpose(1, 2), right, beta=0 if first else 1)
        of_query *= ctx.scale
        shape, dtype = (batch, heads, length, size), grad_outputs[0].dtype
        return *(of.view(shape).to(dtype) for of in (of_query, of_key, of_value)), None, None


def _factors(
    query_BNTD: torch.Tensor, key_BNTD: torch.Tensor, value_BNTD: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return float32 copies [G, T, D]; the queries are scaled."""
    return _folded(query_BNTD).mul_(scale), _folded(key_BNTD), _folded(value_BNTD)


def _folded(tensor_BNTD: torch.Tensor) -> torch.Tensor:
    """Return a float32 copy [G, T, D]."""
    copy = torch.empty(tensor_BNTD.shape, dtype=torch.float32)
    return copy.copy_(tensor_BNTD).view(-1, *tensor_BNTD.shape[2:])


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of the blocks of queries, the last first."""
    for begin in reversed(range(0, length, BLOCK_QUERIES)):
        yield begin, min(begin + BLOCK_QUERIES, length)


def _probabilities(
    query_GTD: torch.Tensor,
    key_GTD: torch.Tensor,
    begin: int,
    end: int,
    mask_B1TT: torch.Tensor | None,
) -> torch.Tensor:
    """Return what the queries of a block see of the keys before its end, [G, Q, K]."""
    scores_GQK = torch.bmm(query_GTD[:, begin:end], key_GTD[:, :end].transpose(1, 2))
    if mask_B1TT is None:
        unseen_QQ = scores_GQK.new_full((end - begin, end - begin), -math.inf).triu_(1)
        scores_GQK[:, :, begin:] += unseen_QQ
    else:
        by_sequence = scores_GQK.view(len(mask_B1TT), -1, end - begin, end)
        by_sequence.masked_fill_(~mask_B1TT[:, :, begin:end, :end], -math.inf)
    return torch.softmax(scores_GQK, -1, out=scores_GQK)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as Hugging Face's models ask for it; what training does not need goes to torch."""
    boolean = attention_mask is None or attention_mask.dtype == torch.bool
    if query.shape != key.shape or dropout or not boolean:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **others
        )
        return found
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    apply: Any = CausalAttention.apply  # torch leaves it untyped
    return apply(query, key, value, scale, attention_mask), None


def attend_in_blocks(model: PreTrainedModel) -> None:
    """Make a model on a processor attend by this module."""
    AttentionInterface.register(NAME, _attend)
    model.set_attn_implementation(NAME)
