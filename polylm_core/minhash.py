"""MinHash signatures of documents, and the exact similarity of two.

A document is the set of its shingles: runs of tokens by their wording. The smallest values of its
shingles under random permutations agree between two documents with the probability of their Jaccard
similarity (Broder 1997); equal bands of them bring near duplicates together (LSH, Leskovec et al.,
Mining of Massive Datasets §3.4).
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from polylm_core.characters import Offsets
from polylm_core.hashing import MULTIPLIER, Hashes, leaving, mixed
from polylm_core.kernels import kernel
from polylm_core.tokens import Tokens

Signatures = npt.NDArray[np.uint16]

_SEED = 1
"""Part of what a near duplicate is, like the number of permutations."""


def shingles(tokens: Tokens, length: int) -> tuple[Hashes, Offsets]:
    """Hashed runs of `length` wordings of each text and their bounds; a shorter text is one run."""
    return _shingles(tokens.wordings, tokens.offsets, length)


def signatures(
    hashed: Hashes, offsets: Offsets, *, bands: int, rows: int
) -> tuple[Signatures, Hashes]:
    """Signatures, uint16[texts, bands * rows], and band keys, uint64[texts, bands]."""
    multipliers, increments = _permutations(bands * rows)
    return _signatures(hashed, offsets, multipliers, increments, bands)


@functools.cache
def _permutations(count: int) -> tuple[Hashes, Hashes]:
    draw = np.random.Generator(np.random.PCG64(_SEED))
    multipliers = draw.integers(0, 2**64, count, np.uint64) | np.uint64(1)
    return multipliers, draw.integers(0, 2**64, count, np.uint64)


@kernel
def _shingles(wordings: Hashes, offsets: Offsets, length: int) -> tuple[Hashes, Offsets]:
    found = np.empty(len(wordings) + len(offsets), np.uint64)
    bounds = np.zeros(len(offsets), np.int64)
    window = np.zeros(length, np.uint64)
    power = leaving(length)
    count = 0
    for text in range(len(offsets) - 1):
        run, seen = np.uint64(0), 0
        for token in range(offsets[text], offsets[text + 1]):
            wording = wordings[token]
            if wording == 0:
                continue
            place = seen % length
            if seen >= length:
                run -= window[place] * power
            run = run * MULTIPLIER + wording
            window[place] = wording
            seen += 1
            if seen >= length:
                found[count] = mixed(run)
                count += 1
        if 0 < seen < length:
            found[count] = mixed(run)
            count += 1
        bounds[text + 1] = count
    return found[:count], bounds


@kernel
def _signatures(
    hashed: Hashes, offsets: Offsets, multipliers: Hashes, increments: Hashes, bands: int
) -> tuple[Signatures, Hashes]:
    texts, size = len(offsets) - 1, len(multipliers)
    rows = size // bands
    found = np.empty((texts, size), np.uint16)
    keys = np.zeros((texts, bands), np.uint64)
    lowest = np.empty(size, np.uint64)
    for text in range(texts):
        lowest[:] = np.uint64(0xFFFFFFFFFFFFFFFF)
        for shingle in range(offsets[text], offsets[text + 1]):
            value = hashed[shingle]
            for place in range(size):
                permuted = value * multipliers[place] + increments[place]
                lowest[place] = min(lowest[place], permuted)
        for place in range(size):
            found[text, place] = np.uint16(mixed(lowest[place]) & np.uint64(0xFFFF))
        for band in range(bands):
            key = np.uint64(band + 1)
            for row in range(rows):
                key = mixed(key ^ lowest[band * rows + row])
            keys[text, band] = key
    return found, keys


@kernel
def agreement(left: Signatures, right: Signatures) -> float:
    """Share of equal values of two signatures: an estimate of the Jaccard similarity."""
    same = 0
    for place in range(len(left)):
        same += left[place] == right[place]
    return same / len(left)


@kernel
def jaccard(left: Hashes, right: Hashes) -> float:
    """Jaccard similarity of two sorted sets of shingles."""
    i = j = both = 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            both += 1
            i += 1
            j += 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    whole = len(left) + len(right) - both
    return both / whole if whole else 0.0
