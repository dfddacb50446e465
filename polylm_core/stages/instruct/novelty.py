"""Whether an instruction is new: ROUGE-L against every one known, exactly and fast.

ROUGE-L (Lin 2004) is the F of the longest common subsequence (LCS) of two lists of words. The
decisions are those of the package rouge-score, to the last bit of its arithmetic; only work that
cannot change one is left out. An LCS of k words means k words in common, so one of any size - k + 1
words of the instruction is in the other: only lists with one of its rarest words are looked at
(prefix filtering, Chaudhuri et al. 2006). Of them those are left whose length, and whose words in
common, each as often as in both, allow an LCS as long as is needed. It is counted bit-parallel
(Crochemore et al. 2001; Hyyrö 2004): one step a word, 64 words of the other list at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from polylm_core.kernels import kernel

Ids = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]
A = TypeVar("A", Ids, Places)

_WORD_BITS = 64
_FIRST_SIZE = 1024
_NONE = -1


class _Known(NamedTuple):
    """The lists of words known, and in which of them a word is."""

    words: Ids
    """The lists, one after the other."""
    ends: Places
    """List i is `words[ends[i]:ends[i + 1]]`."""
    heads: Ids
    """The last entry of each word, of which `entry_before` leads to the others."""
    frequencies: Ids
    """Lists with each word."""
    entry_lists: Ids
    entry_before: Ids


class NoveltyIndex:
    """The instructions known, as lists of words; more can join at any time."""

    def __init__(self, max_similarity: float) -> None:
        self._max_similarity = max_similarity
        self._ids: dict[str, int] = {}
        self._count = self._num_entries = self._longest = 0
        numbers = np.zeros(_FIRST_SIZE, np.int32)
        self._known = _Known(
            words=numbers.copy(),
            ends=np.zeros(_FIRST_SIZE, np.int64),
            heads=numbers + _NONE,
            frequencies=numbers.copy(),
            entry_lists=numbers.copy(),
            entry_before=numbers.copy(),
        )
        self._slots = numbers + _NONE
        self._looked_at = np.zeros(_FIRST_SIZE, np.int64)
        self._num_queries = 0

    def __len__(self) -> int:
        """Number of instructions known."""
        return self._count

    def add(self, words: Sequence[str]) -> None:
        """Make an instruction known."""
        ids = np.array([self._ids.setdefault(word, len(self._ids)) for word in words], np.int32)
        self._make_room(len(ids))
        self._num_entries = _join(ids, self._count, self._num_entries, self._known)
        self._count += 1
        self._longest = max(self._longest, len(ids))

    def nearest(self, words: Sequence[str]) -> int | None:
        """The number of the first instruction known at `max_similarity` or above, if any is.

        Numbers are those of the order of joining, from 0.
        """
        ids = np.array([self._ids.get(word, _NONE) for word in words], np.int32)
        needed = least_common(len(ids), self._longest, self._max_similarity)
        self._num_queries += 1
        found = _first_similar(
            ids, self._known, self._count, needed, self._slots, self._looked_at, self._num_queries
        )
        return None if found == _NONE else int(found)

    def _make_room(self, num_words: int) -> None:
        known = self._known
        used = int(known.ends[self._count])
        self._known = _Known(
            words=_with_room(known.words, used + num_words, 0),
            ends=_with_room(known.ends, self._count + 2, 0),
            heads=_with_room(known.heads, len(self._ids), _NONE),
            frequencies=_with_room(known.frequencies, len(self._ids), 0),
            entry_lists=_with_room(known.entry_lists, self._num_entries + num_words, 0),
            entry_before=_with_room(known.entry_before, self._num_entries + num_words, 0),
        )
        self._slots = _with_room(self._slots, len(self._ids), _NONE)
        self._looked_at = _with_room(self._looked_at, self._count + 1, 0)


def _with_room(array: A, size: int, fill: int) -> A:
    if size <= len(array):
        return array
    larger = np.full(max(size, 2 * len(array)), fill, array.dtype)
    larger[: len(array)] = array
    return larger


@kernel
def _join(ids: Ids, number: int, num_entries: int, known: _Known) -> int:
    """Write a list and its entries; the entries there are then."""
    start = known.ends[number]
    for place in range(len(ids)):
        word = ids[place]
        known.words[start + place] = word
        last = known.heads[word]
        if last != _NONE and known.entry_lists[last] == number:
            continue
        known.entry_lists[num_entries], known.entry_before[num_entries] = number, last
        known.heads[word] = num_entries
        known.frequencies[word] += 1
        num_entries += 1
    known.ends[number + 1] = start + len(ids)
    return num_entries


@kernel
def f_measure(common: int, left: int, right: int) -> float:
    """ROUGE-L's F of lists of `left` and `right` words, in rouge-score's order of operations."""
    if left == 0 or right == 0:
        return 0.0
    precision, recall = common / right, common / left
    if precision + recall == 0.0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


@kernel
def least_common(size: int, longest: int, threshold: float) -> Places:
    """The shortest LCS that reaches the threshold, by the other list's size, int64[longest + 1].

    More than both lists have where none does.
    """
    needed = np.empty(longest + 1, np.int64)
    for other in range(longest + 1):
        most = min(size, other)
        about = int(threshold * (size + other) / 2)
        common = min(max(about - 1, 0), most + 1)
        while common <= most and f_measure(common, size, other) < threshold:
            common += 1
        needed[other] = common
    return needed


@kernel
def _first_similar(
    query: Ids,
    known: _Known,
    count: int,
    needed: Places,
    slots: Ids,
    looked_at: Places,
    stamp: int,
) -> int:
    """The first list with an LCS as long as is needed for its size, -1 if there is none.

    `slots` is -1 for every word, before and after; `looked_at` is below `stamp` for every list.
    """
    size = len(query)
    least = size + 1
    for other in range(len(needed)):
        if needed[other] <= min(size, other):
            least = min(least, needed[other])
    if least == 0:
        return 0 if count else _NONE
    matches, counts = _fill(query, slots)
    work = _Work(matches, counts, np.zeros_like(counts), np.full_like(counts, _NONE))
    found = count
    for place in _rarest(query, known.frequencies, size - least + 1):
        entry = known.heads[query[place]] if query[place] != _NONE else _NONE
        while entry != _NONE:
            number = known.entry_lists[entry]
            entry = known.entry_before[entry]
            if number < found and looked_at[number] != stamp:
                looked_at[number] = stamp
                words = known.words[known.ends[number] : known.ends[number + 1]]
                if _is_similar(words, size, needed[len(words)], slots, work, number):
                    found = number
    for word in query:
        if word != _NONE:
            slots[word] = _NONE
    return found if found < count else _NONE


class _Work(NamedTuple):
    """What a query is compared by, each by the slot that a word of it has."""

    matches: Bits
    """A bit for each place of the query where the word stands, uint64[slots, blocks]."""
    counts: Places
    """How often it stands there."""
    used: Places
    """How often it was met in the list of `stamps`."""
    stamps: Places


@kernel
def _fill(query: Ids, slots: Ids) -> tuple[Bits, Places]:
    """Give each word of a query a slot; the places of the words, and how often they stand there."""
    size = len(query)
    matches = np.zeros((size, (size + _WORD_BITS - 1) // _WORD_BITS), np.uint64)
    counts = np.zeros(size, np.int64)
    num_slots = 0
    for place in range(size):
        word = query[place]
        if word == _NONE:
            continue
        if slots[word] == _NONE:
            slots[word] = num_slots
            num_slots += 1
        slot = slots[word]
        counts[slot] += 1
        matches[slot, place // _WORD_BITS] |= np.uint64(1) << np.uint64(place % _WORD_BITS)
    return matches, counts


@kernel
def _rarest(query: Ids, frequencies: Ids, most: int) -> Places:
    """Places of so many words of a query that are in the fewest lists."""
    seen = np.zeros(len(query), np.int64)
    for place in range(len(query)):
        if query[place] != _NONE:
            seen[place] = frequencies[query[place]]
    return np.argsort(seen)[:most]


@kernel
def _is_similar(words: Ids, size: int, needed: int, slots: Ids, work: _Work, number: int) -> bool:
    """Whether a list has an LCS of at least `needed` words with the query."""
    if needed > min(size, len(words)):
        return False
    spare = len(words) - needed
    for word in words:
        slot = slots[word]
        if slot != _NONE and work.stamps[slot] != number:
            work.stamps[slot], work.used[slot] = number, 0
        if slot != _NONE and work.used[slot] < work.counts[slot]:
            work.used[slot] += 1
        else:
            spare -= 1
            if spare < 0:
                return False
    return _lcs(words, slots, work.matches, size) >= needed


@kernel
def _lcs(words: Ids, slots: Ids, matches: Bits, size: int) -> int:
    """Length of the longest common subsequence of some words and a query of `size` words.

    In `row` a zero bit is a place of the query at which the LCS with the words so far grows.
    """
    row = np.full(matches.shape[1], np.uint64(0xFFFFFFFFFFFFFFFF))
    for word in words:
        slot = slots[word]
        if slot == _NONE:
            continue
        carry = np.uint64(0)
        for block in range(len(row)):
            old = row[block]
            matched = old & matches[slot, block]
            total = old + matched
            overflow = np.uint64(total < old)
            total += carry
            carry = overflow | np.uint64(total < carry)
            row[block] = total | (old & ~matched)
    common = 0
    for place in range(size):
        common += (row[place // _WORD_BITS] >> np.uint64(place % _WORD_BITS)) & np.uint64(1) == 0
    return common
