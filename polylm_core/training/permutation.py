"""Shuffles that are computed instead of stored: where an index goes, and where it came from.

A permutation of n things is a Feistel network over a grid of a x b >= n places, each about the
square root of n. What falls outside the n walks on until it is inside (Black and Rogaway 2002,
"Ciphers with Arbitrary Finite Domains"); as a x b - n < a, hardly anything does. Every function
takes arrays, with another n and key for each element if need be.
"""

from __future__ import annotations

import hashlib
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polylm_core.storage import canonical_json

Counts = NDArray[np.int64]
Keys = NDArray[np.uint64]

ROUNDS = 8
"""Four for each side of the grid. Luby and Rackoff 1988 need four in all for large n; the others
are for small n, where the sides have few places to hash."""
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that multiples of it modulo 2**64 differ."""


def key_of(*parts: object) -> np.uint64:
    """The 64-bit key that some JSON-able values name."""
    digest = hashlib.sha256(canonical_json(list(parts)).encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def subkeys(key: ArrayLike, numbers: ArrayLike) -> Keys:
    """Keys of numbered parts of what a key is for."""
    with np.errstate(over="ignore"):  # multiplication is modulo 2**64
        steps = (np.asarray(numbers).astype(np.uint64) + np.uint64(1)) * GOLDEN
        return mixed(np.asarray(key, np.uint64) + steps)


def mixed(values: Keys) -> Keys:
    """64-bit hashes of 64-bit values, no two alike: `hashing.mixed` without its machine code."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return cast(Keys, values ^ (values >> np.uint64(31)))


def permuted(indices: ArrayLike, sizes: ArrayLike, keys: ArrayLike) -> Counts:
    """Where each index of 0 to size - 1 goes under its key."""
    return _walk(indices, sizes, keys, forwards=True)


def unpermuted(indices: ArrayLike, sizes: ArrayLike, keys: ArrayLike) -> Counts:
    """Which index goes to each of these places: the inverse of `permuted`."""
    return _walk(indices, sizes, keys, forwards=False)


def _walk(indices: ArrayLike, sizes: ArrayLike, keys: ArrayLike, *, forwards: bool) -> Counts:
    """Go through the network once, and again with what it put outside."""
    places, size, key = np.broadcast_arrays(
        np.asarray(indices, np.uint64), np.asarray(sizes, np.uint64), np.asarray(keys, np.uint64)
    )
    if (places >= size).any():
        raise IndexError("an index is not below the size of its permutation")
    places, shape = places.ravel(), places.shape
    size, key = size.ravel(), key.ravel()
    rows = np.ceil(np.sqrt(size.astype(np.float64))).astype(np.uint64)
    columns = (size + rows - np.uint64(1)) // rows
    found = _network(places, rows, columns, key, forwards=forwards)
    outside = np.flatnonzero(found >= size)
    while len(outside):
        again = (found[outside], rows[outside], columns[outside], key[outside])
        found[outside] = _network(*again, forwards=forwards)
        outside = outside[found[outside] >= size[outside]]
    return found.astype(np.int64).reshape(shape)


def _network(places: Keys, rows: Keys, columns: Keys, key: Keys, *, forwards: bool) -> Keys:
    """Move each place of its grid: row and column in turns by a hash of the other."""
    row, column = places // columns, places % columns
    for number in range(ROUNDS) if forwards else reversed(range(ROUNDS)):
        own = subkeys(key, number)
        if number % 2 == 0:
            row = _moved(row, mixed(own ^ column), rows, forwards=forwards)
        else:
            column = _moved(column, mixed(own ^ row), columns, forwards=forwards)
    return row * columns + column


def _moved(values: Keys, by: Keys, size: Keys, *, forwards: bool) -> Keys:
    steps = by % size
    return (values + (steps if forwards else size - steps)) % size
