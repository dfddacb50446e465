"""Compressed bytes to bytes, and bytes to lines and blocks, in bounded memory.

Arrow decompresses: many members or frames one after the other are one file to it, it tells a
truncated file, and it is the fastest at hand (gzip of WET files 130 MB/s, zstd 390 MB/s).
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import pyarrow as pa

CHUNK_BYTES = 1 << 20
MAX_RECORD_BYTES = 1 << 26
"""A longer line, page or record is not text to train on but would fill the memory."""
MAX_EXPANSION = 250
"""Plain bytes that one packed byte may become, past the first `MAX_RECORD_BYTES`: text becomes 3 to
20 times as long, a file that was made to fill a disk 1,000 times (gzip) and more."""
CODECS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
XZ = ".xz"


class Readable(Protocol):
    """What bytes come from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` further bytes, none at the end."""


class BrokenFileError(Exception):
    """A file cannot be read to its end; what it says stands after the name of the file."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name
        """Of the file, where more than one is read."""


BROKEN_STREAM = (
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
    EOFError,
    OSError,
    pa.ArrowException,
)
"""What decompression raises; errors of the input itself are SourceErrors by then."""


class _Counted:
    """A stream that counts what is read of it."""

    def __init__(self, stream: Any) -> None:
        self.num_bytes = 0
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        chunk: bytes = self._stream.read(size)
        self.num_bytes += len(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Decompressed:
    """The plain bytes of a stream, by the ending of its name."""

    def __init__(self, stream: Any, name: str) -> None:
        suffix = PurePosixPath(name).suffix
        self._name = name
        self._packed = _Counted(stream)
        self._num_plain = 0
        self._stream: Any = stream
        if suffix in CODECS:
            packed = pa.PythonFile(self._packed, "r")
            self._stream = pa.CompressedInputStream(packed, CODECS[suffix])
        elif suffix == XZ:
            self._stream = lzma.LZMAFile(self._packed)

    def read(self, size: int = CHUNK_BYTES, /) -> bytes:
        """Return at most `size` further bytes, none at the end; raises BrokenFileError."""
        try:
            chunk = bytes(self._stream.read(size))
        except BROKEN_STREAM as error:
            raise BrokenFileError(f"truncated or damaged ({error})", self._name) from error
        self._num_plain += len(chunk)
        if self._packed.num_bytes:
            require_expansion(self._num_plain, self._packed.num_bytes, self._name)
        return chunk


def require_expansion(num_plain: int, num_packed: int, name: str = "") -> None:
    """Raise BrokenFileError for what becomes more bytes than any text does."""
    if num_plain > MAX_RECORD_BYTES and num_plain > MAX_EXPANSION * num_packed:
        raise BrokenFileError(
            f"{num_packed:,} packed bytes become {num_plain:,} and more: no text does", name
        )


def require_table(metadata: Any) -> None:
    """Raise BrokenFileError for a Parquet file that becomes far more than it is.

    That is a column chunk which packs as no text does, or few long values repeated without end.
    """
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            plain, packed = column.total_uncompressed_size, column.total_compressed_size
            require_expansion(plain, max(1, packed))
            if 1 << 20 < plain < column.num_values:
                raise BrokenFileError(
                    f"column {column.path_in_schema} has {column.num_values:,} values in "
                    f"{plain:,} bytes: a few, repeated"
                )


def read_whole(path: Path, max_bytes: int) -> bytes:
    """Return the plain bytes of a file; raises BrokenFileError for more than `max_bytes`."""
    chunks: list[bytes] = []
    with path.open("rb") as file:
        stream, size = Decompressed(file, path.name), 0
        while chunk := stream.read(CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                raise BrokenFileError(f"more than {max_bytes:,} bytes", path.name)
    return b"".join(chunks)


def iter_lines(stream: Readable, max_bytes: int = MAX_RECORD_BYTES) -> Iterator[bytes | None]:
    """Yield lines without their newline; none for a line that is longer than `max_bytes`."""
    rest = b""
    too_long = False
    while chunk := stream.read(CHUNK_BYTES):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if too_long and lines:
            lines[0] = None  # type: ignore[call-overload]
            too_long = False
        yield from lines
        if too_long or len(rest) > max_bytes:
            rest, too_long = b"", True
    if too_long:
        yield None
    elif rest:
        yield rest


def iter_blocks(
    stream: Readable, max_bytes: int = MAX_RECORD_BYTES
) -> Iterator[tuple[int, bytes | None]]:
    """Yield blocks between empty lines, with the number of their first line; none if too long."""
    block: list[bytes] = []
    size = first = 0
    for number, line in enumerate(iter_lines(stream, max_bytes), start=1):
        first = first or number
        if line is None:
            size = max_bytes + 1
        elif line.strip():
            size += len(line) + 1
            if size <= max_bytes:
                block.append(line)
        else:
            if size:
                yield first, b"\n".join(block) if size <= max_bytes else None
            block, size, first = [], 0, 0
    if size:
        yield first, b"\n".join(block) if size <= max_bytes else None
