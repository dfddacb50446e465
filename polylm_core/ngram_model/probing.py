"""Hash tables of n-grams, compiled by numba.

They are laid out as KenLM's "probing" files have them (Heafield 2011, KenLM: Faster and Smaller
Language Model Queries), so a file is used where it lies and every model is scored by one loop:
32-bit words; an entry is a 64-bit key (0: empty), then its values; position = key mod buckets,
then the next free one. The key of a word is MurmurHash64A of its bytes; that of an n-gram combines
the numbers of its words from the last to the first. The sign of a probability is cleared when a
longer n-gram ends in this one, and a backoff of -0.0 says that no longer one begins with it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from polylm_core.kernels import inlined, kernel

Words = npt.NDArray[np.uint32]
Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Int: TypeAlias = Any
"""A whole number, of Python or NumPy: numba makes no difference."""

# Fields of a layout; positions count 32-bit words. From TABLES on, (start, buckets) of each order.
ORDER, VOCABULARY, VOCABULARY_BUCKETS, UNIGRAMS, BEGIN, END, TABLES = range(7)

_MURMUR = np.uint64(0xC6A4A7935BD1E995)
_COMBINE_NODE = np.uint64(8978948897894561157)
_COMBINE_WORD = np.uint64(17894857484156487943)
_ONE, _SHIFT, _EIGHT, _LOW = np.uint64(1), np.uint64(47), np.uint64(8), np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
NEGATIVE_ZERO = np.uint32(0x80000000)
"""The sign bit of a float, and the whole of -0.0."""


@inlined
def murmur(data: Bytes, start: Int, length: Int) -> np.uint64:
    """MurmurHash64A with seed 0 (Appleby, public domain) of `length` bytes."""
    key = np.uint64(length) * _MURMUR
    at = start
    for _ in range(length // 8):
        block = np.uint64(0)
        for byte in range(8):
            block |= np.uint64(data[at + byte]) << (_EIGHT * np.uint64(byte))
        block *= _MURMUR
        block ^= block >> _SHIFT
        block *= _MURMUR
        key = (key ^ block) * _MURMUR
        at += 8
    rest = length & 7
    if rest:
        for byte in range(rest):
            key ^= np.uint64(data[at + byte]) << (_EIGHT * np.uint64(byte))
        key *= _MURMUR
    key ^= key >> _SHIFT
    key *= _MURMUR
    return key ^ (key >> _SHIFT)


@inlined
def combine(node: np.uint64, word: np.uint64) -> np.uint64:
    """The key of an n-gram from that of its last words and the number of the word before them."""
    return (node * _COMBINE_NODE) ^ ((word + _ONE) * _COMBINE_WORD)


@inlined
def find(words: Words, start: Int, buckets: Int, stride: Int, key: np.uint64) -> Int:
    """Where the values of a key begin in `words`, or -1."""
    bucket: Int = np.int64(key % np.uint64(buckets))
    while True:
        at = start + bucket * stride
        low, high = np.uint64(words[at]), np.uint64(words[at + 1])
        seen = low | (high << _HALF)
        if seen == key:
            return at + 2
        if seen == 0:
            return -1
        bucket += 1
        if bucket == buckets:
            bucket = 0


@kernel
def fill(
    words: Words, start: Int, buckets: Int, stride: Int, keys: npt.NDArray[np.uint64], values: Words
) -> Int:
    """Put keys (N,) and values (N, stride - 2) into a table; the first repeated item, or -1."""
    for item in range(len(keys)):
        key = keys[item]
        bucket: Int = np.int64(key % np.uint64(buckets))
        while True:
            at = start + bucket * stride
            seen = np.uint64(words[at]) | (np.uint64(words[at + 1]) << _HALF)
            if seen == key:
                return item
            if seen == 0:
                break
            bucket += 1
            if bucket == buckets:
                bucket = 0
        words[at] = np.uint32(key & _LOW)
        words[at + 1] = np.uint32(key >> _HALF)
        for value in range(values.shape[1]):
            words[at + 2 + value] = values[item, value]
    return -1


@kernel
def ngram_keys(ids: Words, first: Int, last: Int) -> npt.NDArray[np.uint64]:
    """The keys of columns first..last-1 of n-grams (N, n), combined from the last to the first."""
    keys = np.empty(len(ids), np.uint64)
    for item in range(len(ids)):
        node = np.uint64(ids[item, last - 1])
        for column in range(last - 2, first - 1, -1):
            node = combine(node, np.uint64(ids[item, column]))
        keys[item] = node
    return keys


@kernel
def link(words: Words, layout: Numbers, ids: Words) -> Int:
    """Mark what the n-grams (N, n) of one order extend; the first with a part missing, or -1."""
    n = ids.shape[1]
    suffixes, prefixes = ngram_keys(ids, 1, n), ngram_keys(ids, 0, n - 1)
    for item in range(len(ids)):
        if n == 2:
            suffix = layout[UNIGRAMS] + 2 * np.int64(ids[item, 1])
            prefix = layout[UNIGRAMS] + 2 * np.int64(ids[item, 0])
        else:
            at = TABLES + 2 * (n - 3)
            suffix = find(words, layout[at], layout[at + 1], 4, suffixes[item])
            prefix = find(words, layout[at], layout[at + 1], 4, prefixes[item])
            if suffix < 0 or prefix < 0:
                return item
        words[suffix] &= np.uint32(0x7FFFFFFF)
        if words[prefix + 1] == NEGATIVE_ZERO:
            words[prefix + 1] = np.uint32(0)
    return -1


@kernel
def murmur_of(data: Bytes) -> np.uint64:
    """The key of a whole word, for callers outside the loops."""
    return murmur(data, 0, len(data))


@kernel
def find_key(words: Words, start: Int, buckets: Int, stride: Int, key: np.uint64) -> Int:
    """`find`, for callers outside the loops."""
    return find(words, start, buckets, stride, key)
