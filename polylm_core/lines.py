"""Compressed bytes to bytes, and bytes to lines and blocks, in bounded memory.

Arrow decompresses: many members or frames one after the other are one file to it, it tells a
truncated file, and it is the fastest at hand (gzip of WET files 130 MB/s, zstd 390 MB/s).
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
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


def read_table(
    table: Any, path: Path, most_rows: int, columns: Sequence[str] | None = None
) -> Iterator[Any]:
    """Yield an open Parquet file in batches of at most so many rows, fewer of what may be long.

    Raises BrokenFileError for one that becomes far more than it is.
    """
    chunks = [
        table.metadata.row_group(group).column(index)
        for group in range(table.metadata.num_row_groups)
        for index in range(table.metadata.num_columns)
    ]
    for chunk in chunks:
        require_expansion(chunk.total_uncompressed_size, max(1, chunk.total_compressed_size))
    # With less than 8 bytes a value on average, each may be one long value, repeated.
    repeated = [
        chunk.total_uncompressed_size
        for chunk in chunks
        if chunk.physical_type == "BYTE_ARRAY"
        and CHUNK_BYTES < chunk.total_uncompressed_size < 8 * chunk.num_values
    ]
    rows = max(1, min([most_rows, *(MAX_RECORD_BYTES // size for size in repeated)]))
    num_packed, num_plain = path.stat().st_size, 0
    if repeated:  # looked through before anything is made of it
        for batch in table.iter_batches(batch_size=rows, columns=columns):
            num_plain += batch.nbytes
            require_expansion(num_plain, num_packed)
        num_plain = 0
    for batch in table.iter_batches(batch_size=rows, columns=columns):
        num_plain += batch.nbytes
        require_expansion(num_plain, num_packed)
        yield batch


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
    held: list[bytes] = []
    size = 0
    too_long = False
    while chunk := stream.read(CHUNK_BYTES):
        first, *others = chunk.split(b"\n")
        held.append(first)
        size += len(first)
        if others:
            yield None if too_long else b"".join(held)
            yield from others[:-1]
            held, size, too_long = [others[-1]], len(others[-1]), False
        if too_long or size > max_bytes:
            held, size, too_long = [], 0, True
    if too_long:
        yield None
    elif size:
        yield b"".join(held)


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
