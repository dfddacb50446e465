"""Texts as hashed tokens: words, or characters in languages without spaces between words.

Repetition, near duplicates and contamination all ask about runs of tokens. A token has two hashes:
of its code points as they stand, and of its wording: without case, punctuation and symbols (0 where
nothing is left).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polylm_core.characters import (
    LETTER,
    SEPARATOR,
    SHARP_S,
    SPACE,
    SYMBOL,
    Bytes,
    Offsets,
    Texts,
    decode_at,
    folded,
    properties,
)
from polylm_core.hashing import Hashes, mixed
from polylm_core.kernels import kernel

HAS_LETTER = 1
IS_SYMBOL = 2
"""All of the token is punctuation or symbols."""
STARTS_LINE = 4


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of several texts, one after the other."""

    hashes: Hashes
    wordings: Hashes
    characters: npt.NDArray[np.int32]
    kinds: Bytes
    """Flags above, uint8."""
    offsets: Offsets
    """Text i has the tokens `offsets[i]` to `offsets[i + 1]`."""


def tokenise(texts: Texts, *, are_words: bool) -> Tokens:
    """Split texts at spaces into words, or into characters without the spaces."""
    hashes, wordings, characters, kinds, offsets = _tokenise(
        texts.values, texts.offsets, properties(), folded(), are_words
    )
    return Tokens(hashes, wordings, characters, kinds, offsets)


@kernel
def _tokenise(
    values: Bytes,
    offsets: Offsets,
    properties: Bytes,
    folded: npt.NDArray[np.int32],
    are_words: bool,
) -> tuple[Hashes, Hashes, npt.NDArray[np.int32], Bytes, Offsets]:
    most = _count_tokens(values, are_words) + len(offsets)
    hashes, wordings = np.empty(most, np.uint64), np.empty(most, np.uint64)
    characters, kinds = np.empty(most, np.int32), np.empty(most, np.uint8)
    bounds = np.zeros(len(offsets), np.int64)
    count = 0
    for text in range(len(offsets) - 1):
        position, end = offsets[text], offsets[text + 1]
        hashed, wording = np.uint64(0), np.uint64(0)
        length, has_letter, is_symbol, starts_line = 0, False, True, True
        while position <= end:
            flags, point, following = SPACE, 10, position + 1
            if position < end:
                point, following = decode_at(values, position)
                flags = properties[point]
            if not flags & SPACE:
                hashed = _with_letter(hashed, point)
                if not flags & (SEPARATOR | SYMBOL):
                    wording = _with_folded(wording, folded[point])
                length += 1
                has_letter |= (flags & LETTER) != 0
                is_symbol &= (flags & SYMBOL) != 0
            if length and (flags & SPACE or not are_words):
                hashes[count] = mixed(hashed)
                wordings[count] = mixed(wording) if wording else np.uint64(0)
                characters[count] = length
                kinds[count] = _kind(has_letter, is_symbol, starts_line)
                count += 1
                hashed, wording = np.uint64(0), np.uint64(0)
                length, has_letter, is_symbol, starts_line = 0, False, True, False
            starts_line |= point == 10
            position = following
        bounds[text + 1] = count
    return hashes[:count], wordings[:count], characters[:count], kinds[:count], bounds


@kernel
def _with_letter(hashed: np.uint64, point: int) -> np.uint64:
    return (hashed ^ np.uint64(point)) * np.uint64(0x100000001B3) + np.uint64(1)


@kernel
def _with_folded(hashed: np.uint64, point: int) -> np.uint64:
    if point == SHARP_S:
        return _with_letter(_with_letter(hashed, 115), 115)
    return _with_letter(hashed, point)


@kernel
def _kind(has_letter: bool, is_symbol: bool, starts_line: bool) -> int:
    return HAS_LETTER * has_letter + IS_SYMBOL * is_symbol + STARTS_LINE * starts_line


@kernel
def _count_tokens(values: Bytes, are_words: bool) -> int:
    """At most so many tokens are in some bytes."""
    count = 0
    for value in values:
        if are_words:
            count += value <= 32 or value >= 0x80
        else:
            count += (value & 0xC0) != 0x80
    return count if not are_words else min(count, len(values) // 2) + 1
