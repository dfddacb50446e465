"""A SentencePiece BPE model as arrays, and its encoder at about ten times SentencePiece's speed.

In: the parsed proto of a model. Out: the same ids as SentencePiece's, because it is the same
algorithm: characters, user-defined pieces found first and never merged, then the merge with the
best score, the leftmost of equals, until no two neighbours make a piece; a character that is no
piece becomes bytes. What the kernels do not do is asked of the model itself (`obstacle`): such a
model stays with SentencePiece.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polylm_core.fast_bpe.merges import (
    PAIR_BITS,
    UNKNOWN,
    Array,
    Tables,
    Work,
    add_merges,
    mark_touching,
)
from polylm_core.fast_bpe.texts import MEMO_IDS, MEMO_KEY_BYTES, MEMO_SLOTS, Memo, encode_texts

_SPACE_SIGN = "▁"
_CODE_POINTS = 0x110000
_BPE = 2
"""`TrainerSpec.ModelType.BPE`."""
_NORMAL, _USER_DEFINED, _UNUSED, _BYTE = 1, 4, 5, 6
"""`ModelProto.SentencePiece.Type`."""


def obstacle(proto: Any) -> str | None:
    """Say what in a model the kernels do not do, or none."""
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    wanted = {
        "model_type": trainer.model_type == _BPE,
        "byte_fallback": trainer.byte_fallback,
        "treat_whitespace_as_suffix": not trainer.treat_whitespace_as_suffix,
        "precompiled_charsmap": not normalizer.precompiled_charsmap,
        "remove_extra_whitespaces": not normalizer.remove_extra_whitespaces,
        "escape_whitespaces": normalizer.escape_whitespaces,
    }
    for name, right in wanted.items():
        if not right:
            return f"its {name}"
    for piece in proto.pieces:
        spaced = " " in piece.piece or _SPACE_SIGN in piece.piece
        if piece.type == _UNUSED:
            return f"the unused piece {piece.piece!r}"
        if piece.type == _USER_DEFINED and spaced:
            return f"the user-defined piece {piece.piece!r}, with a space"
        if piece.type == _NORMAL and " " in piece.piece:
            return f"the piece {piece.piece!r}, with a space that no text has"
        if piece.type == _NORMAL and math.isnan(piece.score):
            return f"the piece {piece.piece!r}, without a score"
    if _SPACE_SIGN not in {piece.piece for piece in proto.pieces if piece.type == _NORMAL}:
        return "no piece of its own for a space"
    return None


class FastBpe:
    """A loaded model, with a memo of what it has encoded; one text at a time in all threads."""

    def __init__(self, proto: Any) -> None:
        """Make the arrays; `proto` is one without an `obstacle`."""
        self._tables = _tables(proto)
        self._prefix: bool = proto.normalizer_spec.add_dummy_prefix
        self._lock = threading.Lock()
        self._memo = Memo(
            hashes=np.zeros(MEMO_SLOTS, np.int64),
            places=np.empty((MEMO_SLOTS, 4), np.int64),
            keys=np.empty(MEMO_KEY_BYTES, np.uint8),
            ids=np.empty(MEMO_IDS, np.int32),
            used=np.zeros(3, np.int64),
        )

    def encode(self, texts: pa.Array) -> tuple[Array, Array]:
        """Ids of texts, int32[tokens], and the ids of each, int64[texts]."""
        array = texts.cast(pa.large_string())
        if self._prefix:
            empty, space = (pa.scalar(text, pa.large_string()) for text in ("", " "))
            spaced = pc.binary_join_element_wise(empty, array, space)
            array = pc.if_else(pc.equal(pc.binary_length(array), 0), array, spaced)
        offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset :][: len(array) + 1]
        data = np.frombuffer(array.buffers()[2] or b"", np.uint8)
        for view in (offsets, data):  # of one kind always: kernels are compiled for each
            view.flags.writeable = False
        room = int(np.diff(offsets).max(initial=0)) + 1
        symbols, begins, after, before = (np.empty(room, np.int32) for _ in range(4))
        heap, ends, hashes = (np.empty(n, np.int64) for n in (3 * room, room, room))
        work = Work(symbols, begins, after, before, heap, ends, hashes)
        out = np.empty(offsets[-1] - offsets[0], np.int32)
        lengths = np.empty(len(array), np.int64)
        with self._lock:
            tokens = encode_texts(data, offsets, self._tables, self._memo, work, out, lengths)
        return out[:tokens].copy(), lengths


def _tables(proto: Any) -> Tables:
    symbols = {p.piece: number for number, p in enumerate(proto.pieces) if p.type == _NORMAL}
    pieces = len(proto.pieces)
    normal = list(symbols)
    for character in sorted({character for piece in normal for character in piece}):
        symbols.setdefault(character, pieces + len(symbols))
    by_code_point = np.full(_CODE_POINTS, UNKNOWN, np.int32)
    for text, symbol in symbols.items():
        if len(text) == 1:
            by_code_point[ord(text)] = symbol
    marks = [(p.piece.encode(), i) for i, p in enumerate(proto.pieces) if p.type == _USER_DEFINED]
    marks.sort(key=lambda mark: -len(mark[0]))
    starts = np.zeros(256, np.bool_)
    starts[[mark[0] for mark, _ in marks]] = True
    byte_ids = np.zeros(256, np.int32)
    for number, piece in enumerate(proto.pieces):
        if piece.type == _BYTE:
            byte_ids[int(piece.piece[3:5], 16)] = number
    merges = _merges(proto, symbols)
    slots = 1 << (2 * len(merges) + 1).bit_length()
    tables = Tables(
        symbols=by_code_point,
        touching=np.zeros((1 << PAIR_BITS) >> 3, np.uint8),
        merge_keys=np.full(slots, -1, np.int64),
        merge_values=np.zeros(slots, np.int64),
        byte_ids=byte_ids,
        marks=np.frombuffer(b"".join(mark for mark, _ in marks), np.uint8),
        mark_sizes=np.array([len(mark) for mark, _ in marks], np.int64),
        mark_ids=np.array([number for _, number in marks], np.int32),
        mark_starts=starts,
        pieces=pieces,
    )
    add_merges(merges, tables.merge_keys, tables.merge_values)
    pairs = {pair for piece in normal for pair in pairwise(piece)}
    points = np.array([(ord(left), ord(right)) for left, right in pairs], np.int64).reshape(-1, 2)
    mark_touching(points[:, 0], points[:, 1], tables.touching)
    return tables


def _merges(proto: Any, symbols: dict[str, int]) -> Array:
    """All pairs of symbols that make a piece: left, right, rank << 32 | piece, int64[pairs, 3]."""
    ranks = _ranks(p.score for p in proto.pieces if p.type == _NORMAL and len(p.piece) > 1)
    rows = [
        (symbols[text[:cut]], symbols[text[cut:]], ranks[_order(piece.score)] << 32 | number)
        for number, piece in enumerate(proto.pieces)
        if piece.type == _NORMAL
        for text in [piece.piece]
        for cut in range(1, len(text))
        if text[:cut] in symbols and text[cut:] in symbols
    ]
    return np.array(rows, np.int64).reshape(-1, 3)


def _ranks(scores: Iterable[float]) -> dict[tuple[float, float], int]:
    """0 for the best score; equal scores share a rank."""
    ordered = sorted({_order(score) for score in scores}, reverse=True)
    return {order: rank for rank, order in enumerate(ordered)}


def _order(score: float) -> tuple[float, float]:
    """SentencePiece compares scores by their bits, so -0.0 is below 0.0."""
    return score, math.copysign(1.0, score)
