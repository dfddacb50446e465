"""Trusted text of one language: read from plain files, JSON lines or Parquet, and split in two.

In: files, packed or not. Out: different documents, some to derive settings from and some to check
them with. Which are which depends on the texts alone, not on their order or their files.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.characters import composed
from polylm_core.errors import SourceError
from polylm_core.lines import BrokenFileError, Decompressed, read_table

MAX_BYTES = 64_000_000
"""UTF-8 of the documents that are looked at, chosen by hash; bounds the memory."""
HELD_OUT_PARTS, PARTS = 1, 5
"""One document of five is kept to check with."""

_PACKED = (".gz", ".xz", ".zst")
_COLUMN = "text"
_ROWS_AT_ONCE = 4_096


def split(texts: Iterable[str], max_bytes: int = MAX_BYTES) -> tuple[list[str], list[str]]:
    """Documents to derive settings from and documents to check them with, in NFC, each once.

    Of more than `max_bytes` those with the lowest hashes are taken.
    """
    kept: dict[int, str] = {}
    size = 0
    for each in texts:
        (text,) = composed([each.strip()])
        hashed = _hash(text)
        if not text or hashed in kept:
            continue
        kept[hashed] = text
        size += len(text.encode())
        if size > 2 * max_bytes:
            kept, size = _lowest(kept, max_bytes)
    kept, _ = _lowest(kept, max_bytes)
    held_out = {hashed for hashed in kept if hashed % PARTS < HELD_OUT_PARTS}
    ordered = sorted(kept)
    return (
        [kept[hashed] for hashed in ordered if hashed not in held_out],
        [kept[hashed] for hashed in ordered if hashed in held_out],
    )


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def _lowest(texts: dict[int, str], max_bytes: int) -> tuple[dict[int, str], int]:
    kept: dict[int, str] = {}
    size = 0
    for hashed in sorted(texts):
        size += len(texts[hashed].encode())
        if size > max_bytes:
            break
        kept[hashed] = texts[hashed]
    return kept, sum(len(text.encode()) for text in kept.values())


def read_texts(path: Path, *, whole_files: bool = False) -> Iterator[str]:
    """The documents of a file: `.txt`, `.jsonl` (both may be .gz, .xz or .zst) or `.parquet`.

    In plain text empty lines stand between documents, or the file is one. JSON lines and Parquet
    have them in a field `text`. Raises SourceError.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in _PACKED else ""
    kind = suffixes[-1] if suffixes else ""
    try:
        if kind == ".parquet" and not packed:
            yield from _parquet(path)
        elif kind in (".jsonl", ".ndjson"):
            with _open(path, packed) as lines:
                yield from _json_lines(path, lines)
        elif kind in (".txt", ".text"):
            with _open(path, packed) as lines:
                yield from [lines.read()] if whole_files else _paragraphs(lines)
        else:
            raise SourceError(
                f"{path}: not a name that is read; name files .txt or .jsonl (they may be packed: "
                f"{', '.join(_PACKED)}) or .parquet by what they are"
            )
    except FileNotFoundError as error:
        raise SourceError(f"{path}: there is no such file") from error
    except UnicodeError as error:
        raise SourceError(f"{path}: not UTF-8 ({error}); convert it, for instance by iconv") from (
            error
        )
    except (OSError, BrokenFileError, pa.ArrowException) as error:
        raise SourceError(f"{path}: cannot be read ({error})") from error


def _open(path: Path, packed: str) -> TextIO:
    if packed:
        return io.TextIOWrapper(io.BufferedReader(_Raw(path)), "utf-8-sig")
    return path.open(encoding="utf-8-sig")


class _Raw(io.RawIOBase):
    """A packed file as the standard library reads one."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._stream = Decompressed(self._file, path.name.lower())

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        chunk = self._stream.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._file.close()
        super().close()


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    document: list[str] = []
    for line in lines:
        if line.strip():
            document.append(line)
        elif document:
            yield "".join(document)
            document = []
    if document:
        yield "".join(document)


def _json_lines(path: Path, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise SourceError(f"{path}, line {number}: not JSON ({error})") from error
        text = row.get(_COLUMN) if isinstance(row, dict) else None
        if not isinstance(text, str):
            raise SourceError(f"{path}, line {number}: no field {_COLUMN!r} with text")
        text.encode()  # a lone surrogate has no UTF-8
        yield text


def _parquet(path: Path) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        if _COLUMN not in file.schema_arrow.names:
            names = ", ".join(file.schema_arrow.names)
            raise SourceError(f"{path}: no column {_COLUMN!r} among {names}")
        for batch in read_table(file, path, _ROWS_AT_ONCE, [_COLUMN]):
            for text in batch.column(0).to_pylist():
                if not isinstance(text, str):
                    raise SourceError(
                        f"{path}: column {_COLUMN!r} holds {text!r}, which is no text"
                    )
                yield text
