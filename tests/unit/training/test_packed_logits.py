"""A chat packed with others has the logits that it has alone, in both architectures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from polylm_core.chat import EncodedChat
from polylm_core.stages.finetune.pack import write_rows
from polylm_core.training.attention import attend_in_blocks
from polylm_core.training.batch import isolate
from polylm_core.training.model import build_model
from tests.engines import CONTEXT, VOCAB, make_shape


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_packed_chat_has_the_logits_and_positions_that_it_has_alone(
    architecture: str, in_blocks: bool, tmp_path: Path
) -> None:
    random = np.random.default_rng(2)
    chats = [
        EncodedChat.of(random.integers(4, VOCAB, size).tolist(), [0] * (size - 1) + [1])
        for size in (7, 6, 5)
    ]
    write_rows(tmp_path / "rows.npz", [chats], context_tokens=CONTEXT, pad_id=3)
    rows = np.load(tmp_path / "rows.npz")
    ids_BT = torch.from_numpy(rows["ids"])
    mask_B1TT, positions_BT = isolate(torch.from_numpy(rows["segments"]))
    model = build_model(make_shape(architecture, initializer_std=0.3), seed=4).eval()
    alone = [model(input_ids=torch.tensor([chat.ids[:-1]])).logits[0] for chat in chats]
    if in_blocks:
        attend_in_blocks(model)
    with torch.no_grad():
        packed_TV = model(
            input_ids=ids_BT, attention_mask=mask_B1TT, position_ids=positions_BT, use_cache=False
        ).logits[0]
        joined_TV = model(input_ids=ids_BT, use_cache=False).logits[0]
    begin = 0
    for number, (chat, logits_TV) in enumerate(zip(chats, alone, strict=True)):
        place = slice(begin, begin + len(chat.ids) - 1)
        assert torch.allclose(packed_TV[place], logits_TV, atol=1e-4)
        assert positions_BT[0, place].tolist() == list(range(len(chat.ids) - 1))
        if number:  # without the mask it would see the chat before it
            assert not torch.allclose(joined_TV[place], logits_TV, atol=1e-2)
        begin = place.stop
