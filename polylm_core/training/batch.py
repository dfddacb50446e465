"""From rows of ids to what the model is called with.

Legend: B sequences, T tokens.
"""

from __future__ import annotations

import torch

from polylm_core.training.dataset import Batch


def inputs_of(batch: Batch, device: torch.device) -> list[torch.Tensor]:
    """Return ids and targets [B, T], and where segments are apart their mask and positions."""
    inputs = [torch.from_numpy(array).to(device) for array in (batch.ids_BT, batch.targets_BT)]
    inputs[1] = inputs[1].long()  # as gathering takes them; the embedding takes int32
    if batch.segments_BT is not None:
        inputs += isolate(torch.from_numpy(batch.segments_BT).to(device))
    return inputs


def isolate(segments_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mask [B, 1, T, T] and positions [B, T] that keep the segments of rows apart.

    A position sees itself and the earlier positions of its own segment; positions count from 0
    within a segment, as they will when the chat or document stands alone.
    """
    length = segments_BT.shape[1]
    causal_TT = torch.ones(length, length, dtype=torch.bool, device=segments_BT.device).tril()
    same_BTT = segments_BT[:, :, None] == segments_BT[:, None, :]
    mask_B1TT = (same_BTT & causal_TT)[:, None]
    positions_BT = (same_BTT & causal_TT).sum(-1) - 1
    return mask_B1TT, positions_BT
