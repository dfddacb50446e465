"""A training text as a stream of word numbers, compiled by numba."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from polylm_core.kernels import kernel
from polylm_core.ngram_model import kernels, probing
from polylm_core.ngram_model.folding import Folding
from polylm_core.ngram_model.probing import Bytes, Int, Numbers, Words
from polylm_core.ngram_model.units import UNIT_NUMBERS, Unit

BEGIN, END, FIRST_WORD = 1, 2, 3
"""Numbers of <s>, </s> and of the first word seen; 0 is <unk>."""


class WordStream(NamedTuple):
    """Words by number, `BEGIN word ... END` for every line that has any."""

    numbers: npt.NDArray[np.uint32]
    words: list[bytes]
    """The words of the numbers from FIRST_WORD on, in the order in which they first stood there."""


def number_words(data: npt.NDArray[np.uint8], unit: Unit, tables: Folding) -> WordStream:
    """Number the words of a text of valid UTF-8."""
    kind = UNIT_NUMBERS[unit]
    length = _count(data, kind, tables.classes, tables.folded)
    numbers, pool, ends = _number(data, kind, tables.classes, tables.folded, length)
    text, stops = pool.tobytes(), [0, *ends.tolist()]
    words = [text[start:stop] for start, stop in itertools.pairwise(stops)]
    return WordStream(numbers, words)


@kernel
def _count(data: Bytes, unit: Int, classes: Bytes, folded: Words) -> Int:
    out = np.empty(kernels.SCRATCH_BYTES, np.uint8)
    at, total, in_line = 0, 0, False
    while True:
        at, length = kernels.next_word(data, at, len(data), unit, classes, folded, out)
        if length > 0:
            total += 1 if in_line else 2
            in_line = True
            continue
        if in_line:
            total += 1
            in_line = False
        if length == 0:
            return total


@kernel
def _number(
    data: Bytes, unit: Int, classes: Bytes, folded: Words, total: Int
) -> tuple[npt.NDArray[np.uint32], Bytes, Numbers]:
    """The stream, then the bytes of all words and where each one ends in them."""
    numbers = np.empty(total, np.uint32)
    pool, ends = np.empty(1 << 16, np.uint8), np.empty(1 << 12, np.int64)
    out, table = np.empty(kernels.SCRATCH_BYTES, np.uint8), np.zeros(3 << 13, np.uint32)
    at, filled, known, in_line, buckets = 0, 0, 0, False, 1 << 13
    while True:
        at, length = kernels.next_word(data, at, len(data), unit, classes, folded, out)
        if length > 0:
            if not in_line:
                numbers[filled] = BEGIN
                filled += 1
                in_line = True
            key = probing.murmur(out, 0, length)
            slot = probing.find(table, 0, buckets, 3, key)
            if slot >= 0:
                numbers[filled] = table[slot]
            else:
                start = ends[known - 1] if known else 0
                pool, ends = _room(pool, start + length, ends, known + 1)
                pool[start : start + length] = out[:length]
                ends[known] = start + length
                numbers[filled] = FIRST_WORD + known
                known += 1
                if 2 * known > buckets:
                    buckets *= 4
                    table = _rehash(table, buckets)
                _put(table, buckets, key, numbers[filled])
            filled += 1
            continue
        if in_line:
            numbers[filled] = END
            filled += 1
            in_line = False
        if length == 0:
            stop = ends[known - 1] if known else 0
            return numbers, pool[:stop].copy(), ends[:known].copy()


@kernel
def _room(pool: Bytes, num_bytes: Int, ends: Numbers, num_words: Int) -> tuple[Bytes, Numbers]:
    if num_bytes > len(pool):
        longer = np.empty(2 * len(pool), np.uint8)
        longer[: len(pool)] = pool
        pool = longer
    if num_words > len(ends):
        more = np.empty(2 * len(ends), np.int64)
        more[: len(ends)] = ends
        ends = more
    return pool, ends


@kernel
def _rehash(table: Words, buckets: Int) -> Words:
    larger = np.zeros(3 * buckets, np.uint32)
    for at in range(0, len(table), 3):
        key = np.uint64(table[at]) | np.uint64(table[at + 1]) << np.uint64(32)
        if key:
            _put(larger, buckets, key, table[at + 2])
    return larger


@kernel
def _put(table: Words, buckets: Int, key: np.uint64, number: np.uint32) -> None:
    at: Int = 3 * np.int64(key % np.uint64(buckets))
    while table[at] or table[at + 1]:
        at = (at + 3) % len(table)
    table[at] = np.uint32(key & np.uint64(0xFFFFFFFF))
    table[at + 1] = np.uint32(key >> np.uint64(32))
    table[at + 2] = number
