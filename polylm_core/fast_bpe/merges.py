"""SentencePiece's BPE on flat UTF-8, as native code: the ids of one run of characters.

Neighbours are merged by a heap, best score first and leftmost among equals, in n log n steps for n
characters. SentencePiece's spaces are U+2581, so a space is read as that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from polylm_core.kernels import kernel

Array = NDArray[Any]
Int = int | np.signedinteger[Any]
"""Numbers in kernels are 64 bits wide."""

PAIR_BITS = 21
"""Two to this many bits tell which characters may touch; a false yes costs time, never an id."""
SPACE, SPACE_SIGN = 0x20, 0x2581
UNKNOWN, MERGED = -1, -2
"""Symbols: a character in no piece, and one that is part of its left neighbour by now."""


class Tables(NamedTuple):
    """A model, as arrays."""

    symbols: Array
    """Symbol of each code point, int32[0x110000]: a piece's id, or beyond them all."""
    touching: Array
    """Bits: whether two characters stand side by side in a piece, uint8."""
    merge_keys: Array
    """Hash table of pairs of symbols, int64: left << 32 | right, -1 where empty."""
    merge_values: Array
    """Rank (0 is merged first) << 32 | id of the piece that the pair makes, int64."""
    byte_ids: Array
    """Ids of the byte pieces, int32[256]."""
    marks: Array
    """UTF-8 of the user-defined pieces, longest first, uint8."""
    mark_sizes: Array
    """Bytes of each, int64."""
    mark_ids: Array
    mark_starts: Array
    """Whether a user-defined piece begins with a byte, bool[256]."""
    pieces: int
    """Number of ids; a symbol beyond is a character that only stands inside of pieces."""


class Work(NamedTuple):
    """Room for the longest run, [characters] each; the heap has three times that."""

    symbols: Array
    begins: Array
    next: Array
    previous: Array
    heap: Array
    ends: Array
    """End of each run of a text, int64."""
    hashes: Array
    """Hash of each run, int64."""


@kernel
def decode(data: Array, place: Int) -> Int:
    """Return code point << 3 | bytes of the character at `place`; a space is U+2581."""
    byte = np.int64(data[place])
    if byte < 0x80:
        return (SPACE_SIGN if byte == SPACE else byte) << 3 | 1
    second = np.int64(data[place + 1]) & 0x3F
    if byte < 0xE0:
        return ((byte & 0x1F) << 6 | second) << 3 | 2
    third = np.int64(data[place + 2]) & 0x3F
    if byte < 0xF0:
        return ((byte & 0x0F) << 12 | second << 6 | third) << 3 | 3
    fourth = np.int64(data[place + 3]) & 0x3F
    return ((byte & 0x07) << 18 | second << 12 | third << 6 | fourth) << 3 | 4


@kernel
def pair_bit(left: Int, right: Int) -> Int:
    """Number of the bit of two code points."""
    return ((left * 0x9E3779B1 + right * 0x85EBCA6B) >> 9) & ((1 << PAIR_BITS) - 1)


@kernel
def mark_touching(lefts: Array, rights: Array, touching: Array) -> None:
    """Set the bits of pairs of code points."""
    for i in range(len(lefts)):
        bit = pair_bit(np.int64(lefts[i]), np.int64(rights[i]))
        touching[bit >> 3] |= np.uint8(1 << (bit & 7))


@kernel
def merge_slot(left: Int, right: Int, slots: int) -> Int:
    """Where the search for a pair of symbols begins."""
    return ((left * 0x9E3779B1 + right * 0x85EBCA6B) >> 7) & (slots - 1)


@kernel
def add_merges(merges: Array, keys: Array, values: Array) -> None:
    """Fill the hash table of merges from rows of left, right and value."""
    for i in range(len(merges)):
        left, right = merges[i, 0], merges[i, 1]
        slot = merge_slot(left, right, len(keys))
        while keys[slot] != -1:
            slot = (slot + 1) & (len(keys) - 1)
        keys[slot] = left << 32 | right
        values[slot] = merges[i, 2]


@kernel
def find_merge(left: Int, right: Int, keys: Array, values: Array) -> Int:
    """Rank << 32 | piece of two symbols, or -1."""
    if left < 0 or right < 0:
        return -1
    key = left << 32 | right
    slot = merge_slot(left, right, len(keys))
    while keys[slot] != -1:
        if keys[slot] == key:
            return np.int64(values[slot])
        slot = (slot + 1) & (len(keys) - 1)
    return -1


@kernel
def push(heap: Array, size: Int, key: Int) -> Int:
    """Add a key to a binary heap, least first; returns the new size."""
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if heap[parent] <= key:
            break
        heap[child] = heap[parent]
        child = parent
    heap[child] = key
    return size + 1


@kernel
def pop(heap: Array, size: Int) -> Int:
    """Remove the least key, `heap[0]`; returns the new size."""
    size -= 1
    key = heap[size]
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[parent] = heap[child]
        parent = child
    heap[parent] = key
    return size


@kernel
def merge_run(characters: int, tables: Tables, work: Work) -> None:
    """Merge the symbols of a run until no two neighbours make a piece."""
    keys, values, heap = tables.merge_keys, tables.merge_values, work.heap
    symbols, after, before = work.symbols, work.next, work.previous
    size: Int = 0
    for i in range(characters - 1):
        merge = find_merge(np.int64(symbols[i]), np.int64(symbols[i + 1]), keys, values)
        if merge >= 0:
            size = push(heap, size, (merge >> 32) << 32 | i)
    while size > 0:
        key = np.int64(heap[0])
        size = pop(heap, size)
        left = key & 0xFFFFFFFF
        right = np.int64(after[left])
        if symbols[left] == MERGED or right < 0:
            continue
        merge = find_merge(np.int64(symbols[left]), np.int64(symbols[right]), keys, values)
        if merge < 0 or merge >> 32 != key >> 32:
            continue  # one of the two has grown since
        symbols[left] = merge & 0xFFFFFFFF
        symbols[right] = MERGED
        right, first = np.int64(after[right]), np.int64(before[left])
        after[left] = right
        if right >= 0:
            before[right] = left
            merge = find_merge(np.int64(symbols[left]), np.int64(symbols[right]), keys, values)
            if merge >= 0:
                size = push(heap, size, (merge >> 32) << 32 | left)
        if first >= 0:
            merge = find_merge(np.int64(symbols[first]), np.int64(symbols[left]), keys, values)
            if merge >= 0:
                size = push(heap, size, (merge >> 32) << 32 | first)


@kernel
def encode_run(
    data: Array, begin: Int, end: Int, tables: Tables, work: Work, out: Array, count: Int
) -> Int:
    """Append the ids of a run; returns the new number of ids."""
    by_code_point, byte_ids, pieces = tables.symbols, tables.byte_ids, tables.pieces
    symbols, begins, after, before = work.symbols, work.begins, work.next, work.previous
    characters = 0
    place = begin
    while place < end:
        found = decode(data, place)
        symbols[characters] = by_code_point[found >> 3]
        begins[characters] = place
        after[characters] = characters + 1
        before[characters] = characters - 1
        characters += 1
        place += found & 7
    begins[characters] = end
    after[characters - 1] = -1
    merge_run(characters, tables, work)
    at = 0
    while at >= 0:
        symbol = symbols[at]
        if 0 <= symbol < pieces:
            out[count] = symbol
            count += 1
        else:  # one character that is no piece: its bytes
            for byte in range(begins[at], begins[at + 1]):
                out[count] = byte_ids[data[byte]]
                count += 1
        at = after[at]
    return count


@kernel
def find_mark(data: Array, place: Int, end: Int, tables: Tables) -> Int:
    """Number of the longest user-defined piece at `place`, or -1."""
    marks, sizes = tables.marks, tables.mark_sizes
    begin = 0
    for number in range(len(sizes)):
        same = 0
        while same < sizes[number] and place + same < end:
            if data[place + same] != marks[begin + same]:
                break
            same += 1
        if same == sizes[number]:
            return number
        begin += sizes[number]
    return -1
