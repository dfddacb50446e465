"""Compressed bytes to bytes, and bytes to lines and blocks, in bounded memory.

Arrow decompresses: many members or frames one after the other are one file to it, it tells a
truncated file, and it is the fastest at hand (gzip of WET files 130 MB/s, zstd 390 MB/s).
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Protocol

import pyarrow as pa

CHUNK_BYTES = 1 << 20
MAX_RECORD_BYTES = 1 << 26
"""A longer line, page or record is not text to train on but would fill the memory."""
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


class Decompressed:
    """The plain bytes of a stream, by the ending of its name."""

    def __init__(self, stream: Any, name: str) -> None:
        suffix = PurePosixPath(name).suffix
        self._name = name
        self._stream: Any = stream
        if suffix in CODECS:
            self._stream = pa.CompressedInputStream(pa.PythonFile(stream, "r"), CODECS[suffix])
        elif suffix == XZ:
            self._stream = lzma.LZMAFile(stream)

    def read(self, size: int = CHUNK_BYTES, /) -> bytes:
        """Return at most `size` further bytes, none at the end; raises BrokenFileError."""
        try:
            return bytes(self._stream.read(size))
        except BROKEN_STREAM as error:
            raise BrokenFileError(f"truncated or damaged ({error})", self._name) from error


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
