r"""Token files in Megatron-LM's indexed format: `<stem>.bin` (ids) and `<stem>.idx` (boundaries).

In: documents as lists of ids, one after the other. Out: one flat memory-mapped array of all tokens
and the place of every document in it. The bytes are those of Megatron-LM's `IndexedDataset`
(`megatron/core/datasets/indexed_dataset.py`), so its tools open our files and we open theirs:

    .idx  b"MMIDIDX\x00\x00", version <Q = 1, dtype code <B, sequences <Q, document bounds <Q,
          sizes int32[sequences], pointers (byte offsets into .bin) int64[sequences],
          document bounds (sequence numbers) int64[documents + 1]
    .bin  the ids, in the dtype of the code (8: uint16, 4: int32), without a header
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from polylm_core.errors import CorruptArtifactError
from polylm_core.storage import no_space_named

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
HEADER = struct.Struct("<9sQBQQ")
DTYPE_BY_CODE: dict[int, np.dtype[Any]] = {4: np.dtype("<i4"), 8: np.dtype("<u2")}
UINT16_VOCABULARY = 65500
"""Below this many entries Megatron-LM stores ids in two bytes (`DType.optimal_dtype`)."""

REMEDY = "run the stage that makes it again"


def bin_path(stem: Path) -> Path:
    """The file of ids; `stem` may hold dots, so a suffix is added and none replaced."""
    return stem.with_name(f"{stem.name}.bin")


def idx_path(stem: Path) -> Path:
    """The file of boundaries."""
    return stem.with_name(f"{stem.name}.idx")


def list_streams(folder: Path) -> tuple[str, ...]:
    """Names of the streams in `train/` or `held_out/` of a TokenSet, in order."""
    return tuple(sorted(file.name.removesuffix(".idx") for file in folder.glob("*.idx")))


class TokenFileWriter:
    """Writes documents one by one; the index is written when the block ends without an error."""

    def __init__(self, stem: Path, *, vocab_size: int) -> None:
        self._stem = stem
        self._path = bin_path(stem)
        self._code = 8 if vocab_size < UINT16_VOCABULARY else 4
        self._sizes: list[int] = []
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._stem.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        with no_space_named(self._path):
            self._file.close()
        if kind is None:
            self._write_index()

    def add(self, ids: Sequence[int]) -> None:
        """Append one document."""
        assert self._file is not None
        with no_space_named(self._path):
            self._file.write(np.asarray(ids, dtype=DTYPE_BY_CODE[self._code]).tobytes())
        self._sizes.append(len(ids))

    @property
    def tokens(self) -> int:
        """Tokens written so far."""
        return sum(self._sizes)

    def _write_index(self) -> None:
        sizes = np.asarray(self._sizes, dtype="<i4")
        item_bytes = DTYPE_BY_CODE[self._code].itemsize
        ends = np.cumsum(sizes, dtype="<i8") * item_bytes
        pointers = np.concatenate([np.zeros(1, dtype="<i8"), ends])[: len(sizes)]
        bounds = np.arange(len(sizes) + 1, dtype="<i8")
        path = idx_path(self._stem)
        with no_space_named(path), path.open("wb") as file:
            file.write(HEADER.pack(MAGIC, VERSION, self._code, len(sizes), len(bounds)))
            for array in (sizes, pointers, bounds):
                file.write(array.tobytes())


@dataclass(frozen=True)
class TokenFile:
    """One opened stream."""

    tokens: NDArray[Any]
    """All ids in one flat read-only memory map."""
    sizes: NDArray[np.int32]
    """Tokens of each sequence; a sequence is a document in the files written here."""
    pointers: NDArray[np.int64]
    """Byte offset of each sequence in the `.bin` file."""
    document_starts: NDArray[np.int64]
    """First token of each document, and the number of all tokens as a last entry."""

    @classmethod
    def open(cls, stem: Path) -> Self:
        """Open `<stem>.bin` and `<stem>.idx`.

        Raises CorruptArtifactError when a file is missing, cut short or does not fit the other.
        """
        code, sizes, pointers, bounds = _read_index(idx_path(stem))
        dtype = DTYPE_BY_CODE[code]
        starts = np.concatenate([np.zeros(1, dtype="<i8"), np.cumsum(sizes, dtype="<i8")])
        sequences = len(sizes)
        if (
            not np.array_equal(pointers, starts[:-1] * dtype.itemsize)
            or bounds[0] != 0
            or bounds[-1] != sequences
            or bool(np.any(np.diff(bounds) < 0))
        ):
            raise CorruptArtifactError(
                f"{idx_path(stem)}: its boundaries contradict each other; {REMEDY}"
            )
        return cls(
            tokens=_map_tokens(bin_path(stem), dtype, int(starts[-1])),
            sizes=sizes,
            pointers=pointers,
            document_starts=starts[bounds],
        )

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.document_starts) - 1

    def document(self, number: int) -> NDArray[Any]:
        """The ids of one document, without copying."""
        if not 0 <= number < len(self):
            raise IndexError(f"document {number} of {len(self)}")
        return self.tokens[self.document_starts[number] : self.document_starts[number + 1]]

    def document_of(self, position: int) -> int:
        """Number of the document that the token at `position` belongs to."""
        if not 0 <= position < len(self.tokens):
            raise IndexError(f"token {position} of {len(self.tokens)}")
        return int(np.searchsorted(self.document_starts, position, side="right")) - 1


def _read_index(path: Path) -> tuple[int, NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return dtype code, sizes, pointers and document bounds of an `.idx` file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorruptArtifactError(f"{path}: cannot be read ({error}); {REMEDY}") from error
    if len(data) < HEADER.size or not data.startswith(MAGIC):
        raise CorruptArtifactError(f"{path}: not a Megatron index; {REMEDY}")
    _, version, code, sequences, bounds = HEADER.unpack_from(data)
    if version != VERSION or code not in DTYPE_BY_CODE:
        raise CorruptArtifactError(
            f"{path}: version {version} and dtype code {code}, expected version {VERSION} "
            f"and a code of {sorted(DTYPE_BY_CODE)}; {REMEDY}"
        )
    expected = HEADER.size + 12 * sequences + 8 * bounds
    if len(data) != expected or bounds < 1:
        raise CorruptArtifactError(
            f"{path}: {len(data):,} bytes, but its header announces {expected:,}; {REMEDY}"
        )
    sizes = np.frombuffer(data, "<i4", sequences, HEADER.size)
    pointers = np.frombuffer(data, "<i8", sequences, HEADER.size + 4 * sequences)
    return code, sizes, pointers, np.frombuffer(data, "<i8", bounds, expected - 8 * bounds)


def _map_tokens(path: Path, dtype: np.dtype[Any], tokens: int) -> NDArray[Any]:
    expected = tokens * dtype.itemsize
    seen = path.stat().st_size if path.is_file() else None
    if seen != expected:
        state = "is missing" if seen is None else f"has {seen:,} bytes"
        raise CorruptArtifactError(f"{path}: {state}, its index says {expected:,}; {REMEDY}")
    if tokens == 0:  # an empty file cannot be mapped
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=(tokens,))
