"""N-grams in memory: what a trainer makes and an ARPA file holds, and the tables that are scored.

The tables are those of KenLM's probing files, so `to_kenlm` writes a file which KenLM itself opens
and `kenlm.read_kenlm` maps one that KenLM wrote. KenLM (LGPL, a compiler needed) is no dependency.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from polylm_core.errors import SourceError
from polylm_core.ngram_model import probing

Floats = npt.NDArray[np.float32]

UNKNOWN, BEGIN, END = b"<unk>", b"<s>", b"</s>"

MAGIC = b"mmap lm http://kheafield.com/code format version 5\n\0"
"""How a KenLM binary of the present format begins."""

_SANITY = MAGIC.ljust(56, b"\0") + struct.pack("<fffIIIQ", 0.0, 1.0, -0.5, 1, 2**32 - 1, 0, 1)
_FIXED = "<B3xfI?3xI"
"""Order, probing multiplier, kind of tables (0: probing), whether the words follow, version."""

_MULTIPLIER = 1.5
"""Buckets per entry, as KenLM's own default."""


class Order(NamedTuple):
    """The n-grams of one length; highest orders have no backoff."""

    ids: npt.NDArray[np.uint32]
    """Shape (N, n): numbers of the words."""
    log10: Floats
    """Probability of the last word after the others."""
    backoff: Floats
    """log10 weight of the shorter n-grams after this one; -0.0 where nothing follows."""


@dataclass(frozen=True)
class NgramSet:
    """All n-grams of a model; word 0 is <unk>."""

    words: Sequence[bytes]
    orders: Sequence[Order]
    """For n = 1, 2, ...; the unigrams in the order of `words`."""


class Tables(NamedTuple):
    """What the probing score with."""

    words: npt.NDArray[np.uint32]
    """Header excluded or not: positions are those of `layout`."""
    layout: npt.NDArray[np.int64]


def place(counts: Sequence[int], multiplier: float, start: int) -> tuple[list[int], int]:
    """The layout of tables for so many n-grams of each order, and where it ends (32-bit words).

    <s> and </s> are left 0: their numbers are in the vocabulary.
    """
    buckets = [_buckets(count, multiplier) for count in counts]
    layout = [len(counts), start + 2, buckets[0], start + 2 + 3 * buckets[0], 0, 0]
    at = layout[probing.UNIGRAMS] + 2 * (counts[0] + 1)
    for n, size in enumerate(buckets[1:], start=2):
        layout += [at, size]
        at += size * (3 if n == len(counts) else 4)
    return layout, at


def build(ngrams: NgramSet, name: str) -> Tables:
    """Tables of a set of n-grams; `name` is what an error calls it.

    Raises SourceError when an n-gram stands there twice, or without the shorter one it begins with.
    """
    orders = _with_suffixes(ngrams.orders)
    counts = [len(order.ids) for order in orders]
    start = header_bytes(len(counts)) // 4
    places, size = place(counts, _MULTIPLIER, start)
    words = np.zeros(size, np.uint32)
    words[start + 1] = len(ngrams.words)
    _write_header(words, counts)
    layout = np.array(places, np.int64)
    keys = np.array([hash_word(word) for word in ngrams.words[1:]], np.uint64)
    numbers = np.arange(1, len(ngrams.words), dtype=np.uint32)[:, None]
    _fill(words, layout[1:3], 3, keys, numbers, f"{name}: words")
    known = {word: number for number, word in enumerate(ngrams.words)}
    layout[probing.BEGIN], layout[probing.END] = known.get(BEGIN, 0), known.get(END, 0)
    first = layout[probing.UNIGRAMS]
    words[first : first + 2 * counts[0]] = _pack(orders[0]).ravel()
    for n, order in enumerate(orders[1:], start=2):
        longest = n == len(counts)
        at = probing.TABLES + 2 * (n - 2)
        values = _pack(order)[:, : 1 if longest else 2]
        keys = probing.ngram_keys(order.ids, 0, n)
        _fill(words, layout[at : at + 2], 3 if longest else 4, keys, values, f"{name}: {n}-grams")
        missing = probing.link(words, layout, order.ids)
        if missing >= 0:
            gram = b" ".join(ngrams.words[number] for number in order.ids[missing]).decode()
            raise SourceError(
                f"{name}: the {n}-gram {gram!r} is there without the shorter one it begins with; "
                "the file is damaged: build it again"
            )
    return Tables(words, layout)


def _with_suffixes(orders: Sequence[Order]) -> list[Order]:
    """The orders, with the ends of n-grams that pruning took away put back in.

    Their probability is what backing off gives, so no score changes (as KenLM does for SRILM's).
    """
    filled = list(orders)
    for n in range(len(filled), 2, -1):
        shorter, ends = filled[n - 2], np.unique(filled[n - 1].ids[:, 1:], axis=0)
        there = probing.ngram_keys(shorter.ids, 0, n - 1)
        ends = ends[~np.isin(probing.ngram_keys(ends, 0, n - 1), there)]
        if len(ends):
            blank, zero = np.full(len(ends), np.nan), np.full(len(ends), -0.0)
            filled[n - 2] = Order(
                np.concatenate([shorter.ids, ends]),
                np.concatenate([shorter.log10, blank]).astype(np.float32),
                np.concatenate([shorter.backoff, zero]).astype(np.float32),
            )
    for n, order in enumerate(filled[1:-1], start=2):
        blank = np.isnan(order.log10)
        if blank.any():
            grams, shorter = order.ids[blank], filled[n - 2]
            order.log10[blank] = (
                shorter.backoff[_positions(shorter.ids, grams[:, :-1])]
                + shorter.log10[_positions(shorter.ids, grams[:, 1:])]
            )
    return filled


def _positions(ids: npt.NDArray[np.uint32], wanted: npt.NDArray[np.uint32]) -> npt.NDArray[np.intp]:
    n = ids.shape[1]
    keys = probing.ngram_keys(ids, 0, n)
    order = np.argsort(keys)
    return order[np.searchsorted(keys, probing.ngram_keys(wanted, 0, n), sorter=order)]


def hash_word(word: bytes) -> int:
    """The key of a word in the vocabulary."""
    data = np.frombuffer(word, np.uint8)
    return int(probing.murmur_of(data))


def header_bytes(order: int) -> int:
    """Bytes before the tables of a KenLM binary."""
    return -(-(len(_SANITY) + struct.calcsize(_FIXED) + 8 * order) // 8) * 8


def read_header(data: bytes, name: str) -> tuple[list[int], float]:
    """The number of n-grams by order and the probing multiplier of a KenLM binary.

    Raises SourceError for another format, version or kind of tables.
    """
    if data[: len(_SANITY)] != _SANITY:
        raise SourceError(
            f"{name}: not a finished KenLM binary of format version 5 written on a 64-bit "
            "little-endian machine; build it again from its ARPA file"
        )
    order, multiplier, kind, _, version = struct.unpack_from(_FIXED, data, len(_SANITY))
    if (kind, version) != (0, 0):
        raise SourceError(
            f"{name}: its tables are of kind {kind}, version {version}, and only probing tables "
            "(kind 0, version 0) are read; convert the ARPA file with `build_binary probing`"
        )
    start = len(_SANITY) + struct.calcsize(_FIXED)
    return [int(each) for each in np.frombuffer(data, "<u8", order, start)], multiplier


def _write_header(words: npt.NDArray[np.uint32], counts: Sequence[int]) -> None:
    header = _SANITY + struct.pack(_FIXED, len(counts), _MULTIPLIER, 0, False, 0)
    header += np.array(counts, "<u8").tobytes()
    header = header.ljust(header_bytes(len(counts)), b"\0")
    words[: len(header) // 4] = np.frombuffer(header, np.uint32)


def _buckets(entries: int, multiplier: float) -> int:
    # KenLM computes this in single precision.
    return max(entries + 1, int(np.float32(multiplier) * np.float32(entries)))


def _pack(order: Order) -> npt.NDArray[np.uint32]:
    pairs = np.stack([-np.abs(order.log10), order.backoff], axis=1).astype(np.float32)
    return pairs.view(np.uint32)


def _fill(
    words: npt.NDArray[np.uint32],
    table: npt.NDArray[np.int64],
    stride: int,
    keys: npt.NDArray[np.uint64],
    values: npt.NDArray[np.uint32],
    name: str,
) -> None:
    repeated = probing.fill(words, int(table[0]), int(table[1]), stride, keys, values)
    if repeated >= 0:
        raise SourceError(f"{name}: number {repeated + 1} stands there twice; rebuild the file")
