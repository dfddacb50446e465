"""Chats into rows of whole context windows, so that no step computes padding it need not.

Legend: N rows, T tokens of context.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polylm_core.chat import EncodedChat
from polylm_core.storage import no_space_named
from polylm_core.training.dataset import IGNORED_TARGET

PADDING_SEGMENT = -1


def pack(chats: Sequence[EncodedChat], context_tokens: int) -> list[list[EncodedChat]]:
    """Share chats out over rows of at most `context_tokens` inputs: first fit, longest first.

    A chat of n ids takes n - 1 places, because its last id is only a target.
    """
    size = 1 << max(0, len(chats) - 1).bit_length()
    # A tree over a row for each chat: a node has the most room of the rows below it.
    room = [context_tokens] * (2 * size)
    rows: list[list[EncodedChat]] = []
    for chat in sorted(chats, key=lambda chat: -len(chat.ids)):
        needed = len(chat.ids) - 1
        node = 1
        while node < size:
            node = 2 * node + (room[2 * node] < needed)
        room[node] -= needed
        number = node - size
        while node > 1:
            node //= 2
            room[node] = max(room[2 * node], room[2 * node + 1])
        if number == len(rows):
            rows.append([])
        rows[number].append(chat)
    return rows


def write_rows(
    path: Path, rows: Sequence[Sequence[EncodedChat]], *, context_tokens: int, pad_id: int
) -> int:
    """Write `ids`, `targets` and `segments` [N, T] as `.npz`; return the answer tokens in them."""
    shape = (len(rows), context_tokens)
    ids_NT = np.full(shape, pad_id, dtype=np.int32)
    targets_NT = np.full(shape, IGNORED_TARGET, dtype=np.int32)
    segments_NT = np.full(shape, PADDING_SEGMENT, dtype=np.int32)
    for row, chats in enumerate(rows):
        begin = 0
        for number, chat in enumerate(chats):
            end = begin + len(chat.ids) - 1
            ids_NT[row, begin:end] = chat.ids[:-1]
            is_learned = np.frombuffer(bytes(chat.answer_mask[1:]), dtype=np.uint8) == 1
            targets = np.where(is_learned, np.asarray(chat.ids[1:]), IGNORED_TARGET)
            targets_NT[row, begin:end] = targets
            segments_NT[row, begin:end] = number
            begin = end
    with no_space_named(path):
        np.savez(path, ids=ids_NT, targets=targets_NT, segments=segments_NT)
    return int((targets_NT != IGNORED_TARGET).sum())
