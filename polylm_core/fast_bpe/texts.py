"""Whole texts through the BPE kernels: cut into runs, each run from a memo where it came before.

A text is cut where no merge can reach across: around user-defined pieces, and between two
characters that stand side by side in no piece. Cutting is one pass over the bytes, looking up one
over the runs; only a run that is new is merged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from polylm_core.fast_bpe.merges import (
    Array,
    Int,
    Tables,
    Work,
    decode,
    encode_run,
    find_mark,
    pair_bit,
)
from polylm_core.kernels import kernel

MEMO_SLOTS = 1 << 18
MEMO_KEY_BYTES, MEMO_IDS = 1 << 22, 1 << 20
MEMO_RUN_BYTES = 96
"""Longer runs hardly come back."""


class Memo(NamedTuple):
    """Runs of text already encoded, with their ids; emptied when it is full."""

    hashes: Array
    """int64[MEMO_SLOTS], 0 where empty."""
    places: Array
    """int64[MEMO_SLOTS, 4]: begin and length in `keys`, begin and length in `ids`."""
    keys: Array
    ids: Array
    used: Array
    """Slots, bytes of keys and ids in use, int64[3]."""


@kernel
def cut_runs(data: Array, begin: Int, end: Int, tables: Tables, ends: Array, hashes: Array) -> int:
    """Cut a text where merges cannot reach across; returns the number of runs.

    `ends` gets the end of each run, `hashes` a hash of its characters, above 0, or of a
    user-defined piece -1 - its number.
    """
    # Each look at a field of a tuple counts a reference: not in the loop over characters.
    touching, mark_starts = tables.touching, tables.mark_starts
    runs = 0
    before: Int = -1
    value: Int = 0
    place = begin
    while place < end:
        mark = find_mark(data, place, end, tables) if mark_starts[data[place]] else np.int64(-1)
        found = decode(data, place)
        bit = pair_bit(before, found >> 3)
        if before >= 0 and (mark >= 0 or not touching[bit >> 3] >> (bit & 7) & 1):
            ends[runs] = place
            hashes[runs] = (value ^ value >> 29) & 0x7FFFFFFFFFFFFFFF | 1
            runs += 1
            before = -1
        if mark >= 0:
            place += tables.mark_sizes[mark]
            ends[runs] = place
            hashes[runs] = -1 - mark
            runs += 1
            continue
        value = ((0 if before < 0 else value) + found) * 0x1E3779B97F4A7C15
        value ^= value >> 32
        before = found >> 3
        place += found & 7
    if before >= 0:
        ends[runs] = place
        hashes[runs] = (value ^ value >> 29) & 0x7FFFFFFFFFFFFFFF | 1
        runs += 1
    return runs


@kernel
def find_slot(data: Array, begin: Int, end: Int, hashed: Int, memo: Memo) -> Int:
    """The memo's slot of a run, or the empty one where it belongs."""
    hashes, places, keys = memo.hashes, memo.places, memo.keys
    slot = hashed >> 1 & (MEMO_SLOTS - 1)
    while hashes[slot] != 0:
        if hashes[slot] == hashed and places[slot, 1] == end - begin:
            key = places[slot, 0]
            same = 0
            while same < end - begin and keys[key + same] == data[begin + same]:
                same += 1
            if same == end - begin:
                return slot
        slot = (slot + 1) & (MEMO_SLOTS - 1)
    return slot


@kernel
def remember(
    data: Array, begin: Int, end: Int, hashed: Int, ids: Array, first: Int, last: Int, memo: Memo
) -> None:
    """Put a run and its `ids[first:last]` into the memo; a full one is emptied first."""
    size, number, used = end - begin, last - first, memo.used
    if 2 * used[0] >= MEMO_SLOTS or used[1] + size > MEMO_KEY_BYTES or used[2] + number > MEMO_IDS:
        for i in range(MEMO_SLOTS):
            memo.hashes[i] = 0
        used[0] = used[1] = used[2] = 0
    slot = find_slot(data, begin, end, hashed, memo)
    keys, known = memo.keys, memo.ids
    for i in range(size):
        keys[used[1] + i] = data[begin + i]
    for i in range(number):
        known[used[2] + i] = ids[first + i]
    memo.hashes[slot] = hashed
    memo.places[slot, 0] = used[1]
    memo.places[slot, 1] = size
    memo.places[slot, 2] = used[2]
    memo.places[slot, 3] = number
    used[0] += 1
    used[1] += size
    used[2] += number


@kernel
def known_runs(
    data: Array, begin: Int, run: Int, runs: Int, work: Work, memo: Memo, out: Array, count: Int
) -> tuple[Int, Int]:
    """Append the ids of runs from `run` on to the first that the memo has not.

    Returns that run's number, and the new number of ids.
    """
    slots, places, keys, ids = memo.hashes, memo.places, memo.keys, memo.ids
    ends, hashes = work.ends, work.hashes
    while run < runs:
        hashed, size = hashes[run], ends[run] - begin
        slot = hashed >> 1 & (MEMO_SLOTS - 1)
        while slots[slot] != 0:
            if slots[slot] == hashed and places[slot, 1] == size:
                key = places[slot, 0]
                same = 0
                while same < size and keys[key + same] == data[begin + same]:
                    same += 1
                if same == size:
                    break
            slot = (slot + 1) & (MEMO_SLOTS - 1)
        if slots[slot] == 0:
            break
        first = places[slot, 2]
        for i in range(places[slot, 3]):
            out[count] = ids[first + i]
            count += 1
        begin = ends[run]
        run += 1
    return run, count


@kernel
def encode_texts(
    data: Array, offsets: Array, tables: Tables, memo: Memo, work: Work, out: Array, lengths: Array
) -> Int:
    """Encode texts one after the other into `out`, with the ids of each in `lengths`.

    `data` is valid UTF-8, text i its bytes `offsets[i]` to `offsets[i + 1]`; `out` has room for an
    id a byte, `work` for the longest text. Returns the number of ids.
    """
    count: Int = np.int64(0)
    for text in range(len(offsets) - 1):
        begin, before = offsets[text], count
        runs = cut_runs(data, begin, offsets[text + 1], tables, work.ends, work.hashes)
        run: Int = np.int64(0)
        while run < runs:
            run, count = known_runs(data, begin, run, runs, work, memo, out, count)
            if run == runs:
                break
            begin = work.ends[run - 1] if run > 0 else offsets[text]
            end, hashed = work.ends[run], work.hashes[run]
            if hashed < 0:
                out[count] = tables.mark_ids[-1 - hashed]
                count += 1
            else:
                first = count
                count = encode_run(data, begin, end, tables, work, out, count)
                if end - begin <= MEMO_RUN_BYTES:
                    remember(data, begin, end, hashed, out, first, count, memo)
            begin = end
            run += 1
        lengths[text] = count - before
    return count
