"""Hashes of bytes and sets of hashes for the native kernels.

Hashes depend on the bytes only: they are the same in every process and on every machine. At 64
bits, two different texts among 100 million collide with a probability of about 0.0003.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polylm_core.characters import Bytes
from polylm_core.kernels import kernel

Hashes = npt.NDArray[np.uint64]
NO_HASHES: Hashes = np.zeros(0, np.uint64)

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""Of rolling hashes of runs. Odd, so multiplying by it modulo 2**64 loses nothing; the golden
ratio, as usual in hashing."""


@kernel
def mixed(value: np.uint64) -> np.uint64:
    """A 64-bit hash of a 64-bit value (the finaliser of SplitMix64, Steele et al. 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel
def leaving(length: int) -> np.uint64:
    """What the first hash of a run of this length was multiplied by since it came in."""
    power = np.uint64(1)
    for _ in range(length - 1):
        power *= MULTIPLIER
    return power


@kernel
def byte_hash(values: Bytes, start: int, end: int) -> np.uint64:
    """A 64-bit hash of some bytes, eight at a time."""
    value = np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(end - start)
    position = start
    while position + 8 <= end:
        word = np.uint64(0)
        for offset in range(8):
            word |= np.uint64(values[position + offset]) << np.uint64(8 * offset)
        value = mixed(value ^ word)
        position += 8
    word = np.uint64(0)
    for offset in range(end - position):
        word |= np.uint64(values[position + offset]) << np.uint64(8 * offset)
    return mixed(value ^ word ^ np.uint64(0xD6E8FEB86659FD93))


@kernel
def has_hash(sorted_hashes: Hashes, value: np.uint64) -> bool:
    """Whether a sorted array holds a value."""
    low, high = 0, len(sorted_hashes)
    while low < high:
        middle = (low + high) // 2
        if sorted_hashes[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low < len(sorted_hashes) and sorted_hashes[low] == value


@kernel
def seen_before(table: Hashes, stamps: npt.NDArray[np.int64], stamp: int, value: np.uint64) -> bool:
    """Look a value up in a hash set and add it; entries of other stamps are not there."""
    mask = np.uint64(len(table) - 1)
    place = value & mask
    while stamps[place] == stamp:
        if table[place] == value:
            return True
        place = (place + np.uint64(1)) & mask
    stamps[place] = stamp
    table[place] = value
    return False


@kernel
def set_size(entries: int) -> int:
    """A power of two that holds so many entries at most half full."""
    size = 16
    while size < 2 * entries + 2:
        size *= 2
    return size


@kernel
def mixed_with(values: Hashes, salt: np.uint64) -> Hashes:
    """Hashes of 64-bit values; another salt gives others."""
    found = np.empty(len(values), np.uint64)
    for index in range(len(values)):
        found[index] = mixed(values[index] ^ salt)
    return found


@kernel
def hash_set(values: Hashes) -> Hashes:
    """An open-addressed set of hashes, 0 where a place is free (0 itself is taken for 1)."""
    table = np.zeros(set_size(len(values)), np.uint64)
    mask = np.uint64(len(table) - 1)
    for value in values:
        value = max(value, np.uint64(1))
        place = value & mask
        while table[place] != 0 and table[place] != value:
            place = (place + np.uint64(1)) & mask
        table[place] = value
    return table


@kernel
def in_set(table: Hashes, value: np.uint64) -> bool:
    """Whether a set holds a value."""
    mask = np.uint64(len(table) - 1)
    value = max(value, np.uint64(1))
    place = value & mask
    while table[place] != 0:
        if table[place] == value:
            return True
        place = (place + np.uint64(1)) & mask
    return False
