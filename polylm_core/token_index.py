"""The index of a token file in Megatron-LM's format: its layout, its header, its consistency.

The layout is described in `token_files.py`, which reads and writes the whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polylm_core.errors import CorruptArtifactError

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
HEADER = struct.Struct("<9sQBQQ")
DTYPE_BY_CODE: dict[int, np.dtype[Any]] = {4: np.dtype("<i4"), 8: np.dtype("<u2")}
SIZE, OFFSET = np.dtype("<i4"), np.dtype("<i8")
UINT16_VOCABULARY = 65500
"""Below this many entries Megatron-LM stores ids in two bytes (`DType.optimal_dtype`)."""
CHUNK = 1 << 18
"""Entries of an index that are in memory at once."""

REMEDY = "run the stage that makes it again"


def idx_path(stem: Path) -> Path:
    """The file of boundaries."""
    return Path(f"{stem}.idx")


def read_header(path: Path, index: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Return dtype code, sequences and document bounds of an `.idx` file with these bytes."""
    data, seen = index[: HEADER.size].tobytes(), len(index)
    if len(data) < HEADER.size or not data.startswith(MAGIC):
        raise CorruptArtifactError(f"{path}: not a Megatron index; {REMEDY}")
    _, version, code, sequences, bounds = HEADER.unpack(data)
    if version != VERSION or code not in DTYPE_BY_CODE:
        raise CorruptArtifactError(
            f"{path}: version {version} and dtype code {code}, expected version {VERSION} "
            f"and a code of {sorted(DTYPE_BY_CODE)}; {REMEDY}"
        )
    expected = (
        HEADER.size + (SIZE.itemsize + OFFSET.itemsize) * sequences + OFFSET.itemsize * bounds
    )
    if seen != expected or bounds < 1:
        raise CorruptArtifactError(
            f"{path}: {seen:,} bytes, but its header announces {expected:,}; {REMEDY}"
        )
    return code, sequences, bounds


def count_tokens(path: Path, dtype: np.dtype[Any], sequences: int, bounds: int) -> int:
    """Return the tokens that an index places; raises CorruptArtifactError where it is at odds."""
    places = HEADER.size + SIZE.itemsize * sequences
    rest = places + OFFSET.itemsize * sequences
    consistent = _bounds_fit(_read_chunks(path, OFFSET, rest, bounds), sequences)
    tokens = 0
    chunks = zip(
        _read_chunks(path, SIZE, HEADER.size, sequences),
        _read_chunks(path, OFFSET, places, sequences),
        strict=True,
    )
    for sizes, pointers in chunks:
        ends = tokens + np.cumsum(sizes, dtype=OFFSET)
        consistent &= bool((sizes >= 0).all())
        consistent &= np.array_equal(pointers, (ends - sizes) * dtype.itemsize)
        tokens = int(ends[-1])
    if not consistent:
        raise CorruptArtifactError(f"{path}: its boundaries contradict each other; {REMEDY}")
    return tokens


def last_end(sizes: NDArray[Any], pointers: NDArray[Any], dtype: np.dtype[Any]) -> int:
    """The tokens that an index places, by its last sequence alone."""
    return int(pointers[-1]) // dtype.itemsize + int(sizes[-1]) if len(sizes) else 0


def _bounds_fit(chunks: Iterator[NDArray[Any]], sequences: int) -> bool:
    """Whether document bounds rise from 0 to the number of sequences."""
    last = 0
    for number, chunk in enumerate(chunks):
        steps = np.diff(chunk, prepend=last)
        if (steps < 0).any() or (number == 0 and chunk[0] != 0):
            return False
        last = int(chunk[-1])
    return last == sequences


def _read_chunks(
    path: Path, dtype: np.dtype[Any], offset: int, count: int
) -> Iterator[NDArray[Any]]:
    with path.open("rb") as file:
        file.seek(offset)
        for begin in range(0, count, CHUNK):
            size = min(CHUNK, count - begin) * dtype.itemsize
            yield np.frombuffer(file.read(size), dtype)
