"""Packing chats into rows: nothing lost, nothing mixed, loss on answers only."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from polylm_core.chat import EncodedChat
from polylm_core.stages.finetune.pack import (
    PADDING_SEGMENT,
    pack,
    write_rows,
)
from polylm_core.training.dataset import IGNORED_TARGET

CHATS = [
    EncodedChat.of([10, 11, 12, 2], [0, 0, 1, 1]),
    EncodedChat.of([20, 21, 2], [0, 1, 1]),
    EncodedChat.of([30, 31, 32, 33, 34, 2], [0, 0, 0, 1, 1, 1]),
]


def test_every_chat_is_in_exactly_one_row_and_no_row_overflows() -> None:
    rows = pack(CHATS, 6)
    packed = [chat for row in rows for chat in row]
    assert sorted(chat.ids[0] for chat in packed) == [10, 20, 30]
    assert all(sum(len(chat.ids) - 1 for chat in row) <= 6 for row in rows)


def test_rows_hold_next_tokens_of_answers_and_ignore_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "rows.npz"
    answers = write_rows(file, [[CHATS[0], CHATS[1]]], context_tokens=7, pad_id=3)
    rows = np.load(file)
    assert rows["ids"].tolist() == [[10, 11, 12, 20, 21, 3, 3]]
    ignored = IGNORED_TARGET
    assert rows["targets"].tolist() == [[ignored, 12, 2, 21, 2, ignored, ignored]]
    assert rows["segments"].tolist() == [[0, 0, 0, 1, 1, PADDING_SEGMENT, PADDING_SEGMENT]]
    assert answers == 4
