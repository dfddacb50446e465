"""fastText classifiers read from their files: `.bin`, and the quantised `.ftz`.

In: a supervised model as fastText 0.9 writes it (version 12; `fasttext.cc`, `dictionary.cc`,
`quantmatrix.cc` are the format's only description). Out: its arrays, matrices dense. What the
kernels of `identify` do not compute (word n-grams, a quantised output) is refused by name.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polylm_core.errors import MachineError

_MAGIC = 793712314
_VERSION = 12
_LOSSES = {1: "hs", 3: "softmax", 4: "ova"}
_SUPERVISED = 3
MAX_BUCKETS = 1 << 25
"""Hashed n-grams; fastText's default is 2,000,000."""
MAX_WORD_BYTES = 1 << 16

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class FastTextModel:
    """A supervised model."""

    min_ngram: int
    max_ngram: int
    """Characters of the n-grams that a word is broken into."""
    num_buckets: int
    loss: str
    """`hs` (a Huffman tree of the labels), `softmax` or `ova` (a sigmoid a label)."""
    words: tuple[bytes, ...]
    labels: tuple[str, ...]
    """Without the `__label__` prefix."""
    label_counts: tuple[int, ...]
    row_of_bucket: Ints
    """Row of the input matrix for each hashed n-gram, -1 where pruned, int32[num_buckets]."""
    input: Floats
    """float32[rows, dim]."""
    output: Floats
    """float32[labels, dim]."""


class _Reader:
    def __init__(self, path: Path) -> None:
        self._data = np.memmap(path, np.uint8, mode="r")
        self._at = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        size = struct.calcsize(f"<{layout}")
        values = struct.unpack(f"<{layout}", self.raw(size))
        return values

    def raw(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise struct.error("the file ends early")
        self._at += size
        return bytes(self._data[self._at - size : self._at])

    def array(self, dtype: str, count: int) -> npt.NDArray[Any]:
        size = np.dtype(dtype).itemsize * count
        if count < 0 or self._at + size > len(self._data):
            raise struct.error("the file ends early")
        self._at += size
        # A view, aligned or not: the rows of a large matrix stay on disk.
        return np.frombuffer(self._data[self._at - size : self._at].data, dtype, count)

    def word(self) -> bytes:
        ahead = bytes(self._data[self._at : self._at + MAX_WORD_BYTES])
        word, zero, _ = ahead.partition(b"\0")
        if not zero:
            raise struct.error(f"a word of more than {MAX_WORD_BYTES} bytes")
        self._at += len(word) + 1
        return word


def read_fasttext(path: Path) -> FastTextModel:
    """Read a supervised model; raises MachineError when it is none, or of an unsupported kind."""
    try:
        return _read(_Reader(path))
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise MachineError(
            f"{path}: not a fastText model this reads ({error}); "
            "give the .bin or .ftz of a supervised model"
        ) from error


def _read(reader: _Reader) -> FastTextModel:
    magic, version = reader.take("ii")
    if magic != _MAGIC or version != _VERSION:
        raise ValueError(f"magic number {magic} and version {version}, not {_MAGIC} and {_VERSION}")
    dim, *_, word_ngrams, loss, kind, buckets, min_ngram, max_ngram, _, _ = reader.take("12id")
    if kind != _SUPERVISED or word_ngrams > 1 or loss not in _LOSSES:
        raise ValueError(f"model kind {kind}, word n-grams {word_ngrams}, loss {loss}")
    entries, num_words, num_labels, _, pruned = reader.take("iiiqq")
    words, labels, counts = _read_entries(reader, entries)
    if (len(words), len(labels)) != (num_words, num_labels):
        raise ValueError(f"{len(words)} words and {len(labels)} labels are not as declared")
    rows = _rows_of_buckets(reader, buckets, num_words, pruned)
    (is_quantised,) = reader.take("?")
    matrix = _read_quantised(reader) if is_quantised else _read_dense(reader)
    (quantised_output,) = reader.take("?")
    if quantised_output:
        raise ValueError("its output matrix is quantised")
    output = _read_dense(reader)
    if matrix.shape[1] != dim or output.shape != (num_labels, dim):
        raise ValueError(f"matrices of {matrix.shape} and {output.shape} for dimension {dim}")
    return FastTextModel(
        min_ngram=min_ngram,
        max_ngram=max_ngram,
        num_buckets=buckets,
        loss=_LOSSES[loss],
        words=tuple(words),
        labels=tuple(labels),
        label_counts=tuple(counts),
        row_of_bucket=rows,
        input=matrix,
        output=output,
    )


def _read_entries(reader: _Reader, entries: int) -> tuple[list[bytes], list[str], list[int]]:
    """Words, labels, and how often each label was seen."""
    words, labels, counts = [], [], []
    for _ in range(entries):
        word = reader.word()
        count, is_label = reader.take("qb")
        if is_label:
            labels.append(word.decode().removeprefix("__label__"))
            counts.append(count)
        else:
            words.append(word)
    return words, labels, counts


def _rows_of_buckets(reader: _Reader, buckets: int, num_words: int, pruned: int) -> Ints:
    if not 0 <= buckets <= MAX_BUCKETS:
        raise ValueError(f"{buckets:,} buckets, at most {MAX_BUCKETS:,} are read")
    if pruned < 0:
        return np.arange(num_words, num_words + buckets, dtype=np.int32)
    rows = np.full(buckets, -1, np.int32)
    kept = reader.array("<i4", 2 * pruned).reshape(-1, 2)
    rows[kept[:, 0]] = num_words + kept[:, 1]
    return rows


def _read_dense(reader: _Reader) -> Floats:
    rows, columns = reader.take("qq")
    return reader.array("<f4", rows * columns).reshape(rows, columns)


def _read_quantised(reader: _Reader) -> Floats:
    """Product quantisation (Jégou et al. 2011): a code for every few columns, and for the norm."""
    (has_norms,) = reader.take("?")
    rows, columns, num_codes = reader.take("qqi")
    codes = reader.array("u1", num_codes).reshape(rows, -1)
    matrix = _dequantised(reader, codes, columns)
    if has_norms:
        norms = reader.array("u1", rows).reshape(rows, 1)
        matrix = matrix * _dequantised(reader, norms, 1)
    return matrix


def _dequantised(reader: _Reader, codes: npt.NDArray[Any], columns: int) -> Floats:
    dim, groups, width, last_width = reader.take("4i")
    centroids = reader.array("<f4", dim * 256)
    if dim != columns or groups != codes.shape[1]:
        raise ValueError(f"codebook of {dim} columns in {groups} groups, matrix of {columns}")
    parts = []
    for group in range(groups):
        size = last_width if group == groups - 1 else width
        book = centroids[group * 256 * width :][: 256 * size].reshape(256, size)
        parts.append(book[codes[:, group]])
    return np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=np.float32)
