"""The loops over the words of texts in a flat UTF-8 buffer, compiled by numba."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polylm_core.characters import decode_at
from polylm_core.kernels import inlined, kernel
from polylm_core.ngram_model import probing
from polylm_core.ngram_model.probing import NEGATIVE_ZERO, Bytes, Int, Numbers, Words

Floats = npt.NDArray[np.float32]

SCRATCH_BYTES = 1024
"""Longer words are known by their first so many folded bytes."""

_ORDER, _VOCABULARY, _BUCKETS = probing.ORDER, probing.VOCABULARY, probing.VOCABULARY_BUCKETS
_UNIGRAMS, _BEGIN, _END, _TABLES = probing.UNIGRAMS, probing.BEGIN, probing.END, probing.TABLES


@inlined
def _encode(point: Int, out: Bytes, at: Int) -> Int:
    """Write a code point as UTF-8; where the next one goes."""
    if point < 0x80:
        out[at] = point
        return at + 1
    if point < 0x800:
        out[at] = 0xC0 | point >> 6
        out[at + 1] = 0x80 | point & 0x3F
        return at + 2
    if point < 0x10000:
        out[at] = 0xE0 | point >> 12
        out[at + 1] = 0x80 | point >> 6 & 0x3F
        out[at + 2] = 0x80 | point & 0x3F
        return at + 3
    out[at] = 0xF0 | point >> 18
    out[at + 1] = 0x80 | point >> 12 & 0x3F
    out[at + 2] = 0x80 | point >> 6 & 0x3F
    out[at + 3] = 0x80 | point & 0x3F
    return at + 4


@inlined
def _next_token(data: Bytes, at: Int, end: Int, out: Bytes) -> tuple[Int, Int]:
    """As `next_word`, for the unit `tokens`."""
    while at < end and (data[at] == 32 or (9 <= data[at] <= 13 and data[at] != 10)):
        at += 1
    if at == end:
        return at, 0
    if data[at] == 10:
        return at + 1, -1
    length = 0
    while at < end and data[at] != 32 and not 9 <= data[at] <= 13:
        if length < SCRATCH_BYTES:
            out[length] = data[at]
            length += 1
        at += 1
    return at, length


@inlined
def next_word(
    data: Bytes, at: Int, end: Int, unit: Int, classes: Bytes, folded: Words, out: Bytes
) -> tuple[Int, Int]:
    """Write the next word into `out`: where it ends, and its bytes (0: text ends, -1: line)."""
    if unit == 0:
        return _next_token(data, at, end, out)
    length = 0
    while at < end:
        point: Int = np.int64(data[at])
        after = at + 1
        if point >= 0x80:
            point, after = decode_at(data, at)
        kind: Int = 1
        if point < len(classes):
            kind = classes[np.uint32(point)]
            point = np.int64(folded[np.uint32(point)])
        if kind == 1 and (unit == 1 or length == 0):
            at = after
            if length < SCRATCH_BYTES - 4:
                length = _encode(point, out, length)
            if unit == 1:
                continue
            return at, length
        if kind == 3:
            at = after
        elif length:
            return at, length
        elif point == 10:
            return after, -1
        else:
            at = after
            if kind == 2:
                return at, _encode(point, out, 0)
    return at, length


@kernel
def score(
    data: Bytes,
    offsets: Numbers,
    unit: Int,
    classes: Bytes,
    folded: Words,
    words: Words,
    values: Floats,
    layout: Numbers,
    sums: npt.NDArray[np.float64],
    counts: Numbers,
) -> None:
    """Sum log10 probabilities of each text, and count its words and line ends.

    `data` holds the texts, text i at bytes offsets[i] to offsets[i + 1]; `words` and `values` are
    the same memory. Lines without words count nothing.
    """
    out = np.empty(SCRATCH_BYTES, np.uint8)
    context = np.zeros(layout[_ORDER], np.uint64)
    backoffs = np.zeros((2, layout[_ORDER]), np.float32)
    for text in range(len(sums)):
        at, end = offsets[text], offsets[text + 1]
        known, in_line = 0, False
        while True:
            at, length = next_word(data, at, end, unit, classes, folded, out)
            if length > 0:
                word = _number(out, length, words, layout)
                if not in_line:
                    context[0], known, in_line = np.uint64(layout[_BEGIN]), 1, True
                    backoffs[0, 0] = values[layout[_UNIGRAMS] + 2 * layout[_BEGIN] + 1]
            else:
                word = layout[_END]
            if in_line:
                log10, known = _step(word, context, backoffs, known, words, values, layout)
                sums[text] += log10
                counts[text] += 1
                in_line = length > 0
            if length == 0:
                break


@inlined
def _step(
    word: Int,
    context: npt.NDArray[np.uint64],
    backoffs: Floats,
    known: Int,
    words: Words,
    values: Floats,
    layout: Numbers,
) -> tuple[float, Int]:
    """The log10 probability of a word after the `known` words of `context`, latest first.

    The context moves on by the word; row 0 of `backoffs` (2, order) holds those of its beginnings.
    Returned with the words of it that a longer n-gram can still make use of.
    """
    slot = layout[_UNIGRAMS] + 2 * word
    log10, matched, node = np.float64(-abs(values[slot])), 0, np.uint64(word)
    backoffs[1, 0] = values[slot + 1]
    kept = 0 if words[slot + 1] == NEGATIVE_ZERO else 1
    while matched < known and words[slot] & NEGATIVE_ZERO == 0:
        node = probing.combine(node, context[matched])
        table = _TABLES + 2 * matched
        stride = 4 if matched + 2 < layout[_ORDER] else 3
        slot = probing.find(words, layout[table], layout[table + 1], stride, node)
        if slot < 0:
            break
        log10 = np.float64(-abs(values[slot]))
        matched += 1
        if stride == 3:
            break
        backoffs[1, matched] = values[slot + 1]
        if words[slot + 1] != NEGATIVE_ZERO:
            kept = matched + 1
    for unmatched in range(matched, known):
        log10 += backoffs[0, unmatched]
    for position in range(kept - 1, 0, -1):
        context[position] = context[position - 1]
    context[0] = np.uint64(word)
    for position in range(kept):
        backoffs[0, position] = backoffs[1, position]
    return log10, kept


@inlined
def _number(word: Bytes, length: Int, words: Words, layout: Numbers) -> Int:
    """The number of a word; 0, <unk>, for one that the model does not know."""
    key = probing.murmur(word, 0, length)
    entry = probing.find(words, layout[_VOCABULARY], layout[_BUCKETS], 3, key)
    return np.int64(words[entry]) if entry >= 0 else np.int64(0)
