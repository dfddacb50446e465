"""Repetition: the characters of a text within n-grams of tokens that come again.

As datatrove counts them, with which the published thresholds were found: the most frequent n-gram
with all its occurrences, a space between its words in every language, or all n-grams that stood
before, without overlap and without spaces.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from polylm_core.characters import Offsets
from polylm_core.hashing import MULTIPLIER, Hashes, leaving, mixed, set_size
from polylm_core.kernels import kernel

Table = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class _Set(NamedTuple):
    """A hash set of n-grams; what has another stamp is not in it."""

    keys: Hashes
    stamps: Counts
    counts: Counts
    firsts: Counts
    """First token of the n-gram."""


@kernel
def ngram_characters(
    hashes: Hashes,
    characters: npt.NDArray[np.int32],
    offsets: Offsets,
    top: Counts,
    duplicate: Counts,
    spaces: Counts,
    least_top: int,
) -> Table:
    """Characters in the most frequent n-gram, and in n-grams that come again, by n.

    float64[texts, top and duplicate]. `spaces` are between the words of each
    n-gram of `top`; the most frequent one counts from `least_top` occurrences on.
    """
    lengths = np.concatenate((top, duplicate))
    table = np.zeros((len(offsets) - 1, len(lengths)), np.float64)
    most = 0
    for text in range(len(offsets) - 1):
        most = max(most, offsets[text + 1] - offsets[text])
    size = set_size(most)
    seen = _Set(
        np.empty(size, np.uint64),
        np.zeros(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
    )
    stamp = 0
    for text in range(len(offsets) - 1):
        start, end = offsets[text], offsets[text + 1]
        for column, n in enumerate(lengths):
            if end - start < n:
                continue
            stamp += 1
            if column < len(top):
                between = spaces[column]
                found = _top(hashes, characters, start, end, n, between, least_top, seen, stamp)
            else:
                found = _repeated(hashes, characters, start, end, n, seen, stamp)
            table[text, column] = found
    return table


@kernel
def _first_run(hashes: Hashes, start: int, n: int) -> np.uint64:
    """The hash of all but the last token of the first n-gram."""
    run = np.uint64(0)
    for token in range(start, start + n - 1):
        run = run * MULTIPLIER + hashes[token]
    return run


@kernel
def _place(seen: _Set, value: np.uint64, mask: np.uint64, stamp: int) -> np.uint64:
    """Where a value is in the set, or would be."""
    place = value & mask
    while seen.stamps[place] == stamp and seen.keys[place] != value:
        place = (place + np.uint64(1)) & mask
    return place


@kernel
def _top(
    hashes: Hashes,
    characters: npt.NDArray[np.int32],
    start: int,
    end: int,
    n: int,
    spaces: int,
    least: int,
    seen: _Set,
    stamp: int,
) -> int:
    """Characters of all occurrences of the most frequent n-gram, the first of equals."""
    mask, power = np.uint64(set_size(end - start) - 1), leaving(n)
    run = _first_run(hashes, start, n)
    highest, first = 0, start
    for token in range(start, end - n + 1):
        run = run * MULTIPLIER + hashes[token + n - 1]
        value = mixed(run)
        place = _place(seen, value, mask, stamp)
        if seen.stamps[place] != stamp:
            seen.stamps[place], seen.keys[place] = stamp, value
            seen.counts[place], seen.firsts[place] = 0, token
        seen.counts[place] += 1
        count, begin = seen.counts[place], seen.firsts[place]
        if count > highest or (count == highest and begin < first):
            highest, first = count, begin
        run -= hashes[token] * power
    if highest < least:
        return 0
    length = spaces
    for token in range(first, first + n):
        length += characters[token]
    return length * highest


@kernel
def _repeated(
    hashes: Hashes,
    characters: npt.NDArray[np.int32],
    start: int,
    end: int,
    n: int,
    seen: _Set,
    stamp: int,
) -> int:
    """Characters in n-grams that stood before; a repeated one is stepped over as a whole."""
    mask, power = np.uint64(set_size(end - start) - 1), leaving(n)
    run = _first_run(hashes, start, n)
    total, free_from = 0, start
    for token in range(start, end - n + 1):
        run = run * MULTIPLIER + hashes[token + n - 1]
        if token >= free_from:
            value = mixed(run)
            place = _place(seen, value, mask, stamp)
            if seen.stamps[place] == stamp:
                for inside in range(token, token + n):
                    total += characters[inside]
                free_from = token + n
            else:
                seen.stamps[place], seen.keys[place] = stamp, value
        run -= hashes[token] * power
    return total
