r"""Token files in Megatron-LM's indexed format: `<stem>.bin` (ids) and `<stem>.idx` (boundaries).

In: documents as ids, one after the other. Out: one flat memory-mapped array of all tokens and the
place of every document in it; both in bounded memory, however many documents there are. The bytes
are those of Megatron-LM's `IndexedDataset` (`megatron/core/datasets/indexed_dataset.py`), so its
tools open our files and we open theirs:

    .idx  b"MMIDIDX\x00\x00", version <Q = 1, dtype code <B, sequences <Q, document bounds <Q,
          sizes int32[sequences], pointers (byte offsets into .bin) int64[sequences],
          document bounds (sequence numbers) int64[documents + 1]
    .bin  the ids, in the dtype of the code (8: uint16, 4: int32), without a header
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from polylm_core.errors import CorruptArtifactError, MachineError
from polylm_core.storage import no_space_named
from polylm_core.token_index import (
    CHUNK,
    DTYPE_BY_CODE,
    HEADER,
    MAGIC,
    OFFSET,
    REMEDY,
    SIZE,
    UINT16_VOCABULARY,
    VERSION,
    count_tokens,
    idx_path,
    last_end,
    read_header,
)


def bin_path(stem: Path) -> Path:
    """The file of ids; `stem` may hold dots, so a suffix is added and none replaced."""
    return Path(f"{stem}.bin")


def list_streams(folder: Path) -> tuple[str, ...]:
    """Names of the streams in `train/` or `held_out/` of a TokenSet, in order."""
    return tuple(sorted(file.name.removesuffix(".idx") for file in folder.glob("*.idx")))


class TokenFileWriter:
    """Writes documents one by one; the index is written when the block ends without an error."""

    def __init__(self, stem: Path, *, vocab_size: int) -> None:
        self._stem = stem
        self._path = bin_path(stem)
        self._code = 8 if vocab_size < UINT16_VOCABULARY else 4
        self._dtype = DTYPE_BY_CODE[self._code]
        self._files = ExitStack()
        self.documents = 0
        """Documents written so far."""
        self.tokens = 0
        """Tokens written so far."""

    def __enter__(self) -> Self:
        self._stem.parent.mkdir(parents=True, exist_ok=True)
        self._ids: BinaryIO = self._files.enter_context(self._path.open("wb"))
        # Sizes come before pointers in the index, so they wait here until all are known.
        self._sizes: Any = self._files.enter_context(
            tempfile.TemporaryFile(dir=self._stem.parent, prefix=f".{self._stem.name}.sizes")
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with no_space_named(self._path), self._files:
            if kind is None:
                self._write_index()

    def add(self, ids: Sequence[int]) -> None:
        """Append one document."""
        self.add_batch(np.asarray(ids, dtype=OFFSET), np.asarray([len(ids)], dtype=OFFSET))

    def add_batch(self, ids: NDArray[Any], sizes: NDArray[Any]) -> None:
        """Append documents: their ids, [tokens], and the tokens of each, [documents].

        Raises OverflowError for an id that the file has no room for.
        """
        if len(ids) and not 0 <= ids.min() <= ids.max() <= np.iinfo(self._dtype).max:
            raise OverflowError(f"{self._path}: ids {ids.min()} to {ids.max()} in {self._dtype}")
        with no_space_named(self._path):
            self._ids.write(ids.astype(self._dtype).tobytes())
        self._add_sizes(sizes)

    def add_file(self, stem: Path) -> None:
        """Append all documents of another token file.

        Raises CorruptArtifactError when it is damaged or stores ids in another width.
        """
        other = TokenFile.open(stem)
        if other.tokens.dtype != self._dtype:
            raise CorruptArtifactError(
                f"{bin_path(stem)}: ids of {other.tokens.dtype}, expected {self._dtype}; {REMEDY}"
            )
        with no_space_named(self._path), bin_path(stem).open("rb") as file:
            shutil.copyfileobj(file, self._ids, length=1 << 20)
        for begin in range(0, len(other), CHUNK):
            self._add_sizes(other.document_sizes(begin, min(begin + CHUNK, len(other))))

    def _add_sizes(self, sizes: NDArray[Any]) -> None:
        with no_space_named(self._path):
            self._sizes.write(sizes.astype(SIZE).tobytes())
        self.documents += len(sizes)
        self.tokens += int(sizes.sum(dtype=OFFSET))

    def _write_index(self) -> None:
        path = idx_path(self._stem)
        with no_space_named(path), path.open("wb") as file:
            file.write(HEADER.pack(MAGIC, VERSION, self._code, self.documents, self.documents + 1))
            for sizes in self._read_sizes():
                file.write(sizes.tobytes())
            tokens = 0
            for sizes in self._read_sizes():
                ends = tokens + np.cumsum(sizes, dtype=OFFSET)
                file.write(((ends - sizes) * self._dtype.itemsize).tobytes())
                tokens = int(ends[-1])
            for begin in range(0, self.documents + 1, CHUNK):
                end = min(begin + CHUNK, self.documents + 1)
                file.write(np.arange(begin, end, dtype=OFFSET).tobytes())

    def _read_sizes(self) -> Iterator[NDArray[Any]]:
        self._sizes.seek(0)
        while data := self._sizes.read(CHUNK * SIZE.itemsize):
            yield np.frombuffer(data, SIZE)


@dataclass(frozen=True)
class TokenFile:
    """One opened stream: memory maps, so opening it costs no memory that grows with it."""

    tokens: NDArray[Any]
    """All ids in one flat read-only memory map."""
    sizes: NDArray[np.int32]
    """Tokens of each sequence; a sequence is a document in the files written here."""
    pointers: NDArray[np.int64]
    """Byte offset of each sequence in the `.bin` file."""
    bounds: NDArray[np.int64]
    """First sequence of each document, and the number of all sequences as a last entry."""

    @classmethod
    def open(cls, stem: Path, *, verified: bool = False) -> Self:
        """Open `<stem>.bin` and `<stem>.idx`.

        The index is read to its end and checked, unless it is `verified`, as the files of a loaded
        artifact are: then opening costs the same for any number of documents.

        Raises CorruptArtifactError when a file is missing, cut short or does not fit the other.
        """
        path = idx_path(stem)
        try:
            index = _map(path)
        except OSError as error:
            raise CorruptArtifactError(f"{path}: cannot be read ({error}); {REMEDY}") from error
        code, sequences, bounds = read_header(path, index)
        dtype = DTYPE_BY_CODE[code]
        places = HEADER.size + SIZE.itemsize * sequences
        sizes = np.ndarray(sequences, SIZE, index, HEADER.size)
        pointers = np.ndarray(sequences, OFFSET, index, places)
        tokens = (
            last_end(sizes, pointers, dtype)
            if verified
            else count_tokens(path, dtype, sequences, bounds)
        )
        return cls(
            tokens=_map_tokens(bin_path(stem), dtype, tokens),
            sizes=sizes,
            pointers=pointers,
            bounds=np.ndarray(bounds, OFFSET, index, places + OFFSET.itemsize * sequences),
        )

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.bounds) - 1

    def document_span(self, number: int) -> tuple[int, int]:
        """First token of a document, and the token after its last."""
        if not 0 <= number < len(self):
            raise IndexError(f"document {number} of {len(self)}")
        return self._first_token(number), self._first_token(number + 1)

    def _first_token(self, number: int) -> int:
        sequence = int(self.bounds[number])
        if sequence == len(self.pointers):
            return len(self.tokens)
        return int(self.pointers[sequence]) // self.tokens.dtype.itemsize

    def document_sizes(self, begin: int, end: int) -> NDArray[np.int64]:
        """Tokens of the documents `begin` to `end`, [end - begin]."""
        bounds = self.bounds[begin : end + 1]
        ends = np.zeros(bounds[-1] - bounds[0] + 1, dtype=np.int64)
        np.cumsum(self.sizes[bounds[0] : bounds[-1]], out=ends[1:])
        sizes: NDArray[np.int64] = np.diff(ends[bounds - bounds[0]])
        return sizes

    def document(self, number: int) -> NDArray[Any]:
        """The ids of one document, without copying."""
        begin, end = self.document_span(number)
        return self.tokens[begin:end]

    def document_of(self, position: int) -> int:
        """Number of the document that the token at `position` belongs to."""
        if not 0 <= position < len(self.tokens):
            raise IndexError(f"token {position} of {len(self.tokens)}")
        # bisect reads a few entries; numpy's search would copy the whole unaligned map first.
        sequence = bisect_right(self.pointers, position * self.tokens.dtype.itemsize) - 1
        return bisect_right(self.bounds, sequence) - 1


def _map_tokens(path: Path, dtype: np.dtype[Any], tokens: int) -> NDArray[Any]:
    expected = tokens * dtype.itemsize
    try:
        seen = _map(path)
    except FileNotFoundError as error:
        raise CorruptArtifactError(
            f"{path}: is missing, its index says {expected:,}; {REMEDY}"
        ) from error
    except OSError as error:
        raise MachineError(f"{path}: cannot be opened ({error.strerror or error})") from error
    if len(seen) != expected:
        raise CorruptArtifactError(
            f"{path}: has {len(seen):,} bytes, its index says {expected:,}; {REMEDY}"
        )
    return seen.view(dtype)


def _map(path: Path) -> NDArray[np.uint8]:
    """Map a whole file; `numpy.memmap` would take three times as long, mostly to tidy the path."""
    with path.open("rb", buffering=0) as file:
        if not os.fstat(file.fileno()).st_size:  # an empty file cannot be mapped
            return np.zeros(0, np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
