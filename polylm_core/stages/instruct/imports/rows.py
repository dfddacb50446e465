"""The rows of one file, each with its number: JSON, JSON lines, Parquet, CSV and TSV.

In: a file of this machine, plain or compressed. Out: objects of named columns, or why a row is
broken; a file that cannot be read to its end is a SourceError. No more than a batch of rows is in
memory, of an array in JSON too.
"""

from __future__ import annotations

import csv
import io
import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.errors import SourceError
from polylm_core.lines import (
    CHUNK_BYTES,
    MAX_RECORD_BYTES,
    BrokenFileError,
    Decompressed,
    iter_lines,
    read_table,
)
from polylm_core.stages.instruct.imports.config import plain_name

Row = dict[str, Any]

BAD_JSON = "bad-json"
NOT_AN_OBJECT = "not-an-object"
TOO_LONG = "record-too-long"
NOT_UTF8 = "not-utf8"
WRONG_COLUMNS = "wrong-columns"
ROWS_AT_ONCE = 256
NO_SPACE = re.compile(r"\S")


def iter_rows(path: Path, name: str) -> Iterator[tuple[int, Row | str]]:
    """Yield each row with its number from 1 (of lines: the line's), or what is wrong with it.

    `name` tells what the file is by its endings. Raises SourceError for a file that is truncated,
    damaged or of another format.
    """
    plain = plain_name(name)
    try:
        if plain.endswith(".parquet"):
            yield from _parquet(path, name)
            return
        with path.open("rb") as file:
            stream = Decompressed(file, name)
            if plain.endswith((".csv", ".tsv")):
                yield from _separated(stream, "\t" if plain.endswith(".tsv") else ",")
            else:
                yield from _json(stream)
    except BrokenFileError as error:
        raise SourceError(f"{path}: {error}; fetch it again, or correct its name") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from error


class _Ahead:
    """A stream whose beginning can be looked at."""

    def __init__(self, stream: Decompressed) -> None:
        self._stream = stream
        self._held = b""

    def first(self) -> bytes:
        """The first byte that is no space; none in an empty file. A byte-order mark is left out."""
        while not self._held.lstrip() or len(self._held) < len(BOM_UTF8):
            chunk = self._stream.read(CHUNK_BYTES)
            if not chunk:
                break
            self._held += chunk
        self._held = self._held.removeprefix(BOM_UTF8)
        return self._held.lstrip()[:1]

    def read(self, size: int = -1, /) -> bytes:
        """Return at most about `size` further bytes."""
        held, self._held = self._held, b""
        return held or self._stream.read(size)


def _json(stream: Decompressed) -> Iterator[tuple[int, Row | str]]:
    ahead = _Ahead(stream)
    if ahead.first() == b"[":
        yield from _array(ahead)
        return
    for number, line in enumerate(iter_lines(ahead), start=1):
        if line is None:
            yield number, TOO_LONG
        elif line and not line.isspace():
            yield number, _object(line)


def _object(line: bytes) -> Row | str:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return BAD_JSON
    return row if isinstance(row, dict) else NOT_AN_OBJECT


def _array(stream: _Ahead) -> Iterator[tuple[int, Row | str]]:
    """The elements of an array, of which no more is held than the current one and a chunk."""
    text = io.TextIOWrapper(io.BufferedReader(_Raw(stream), CHUNK_BYTES), encoding="utf-8")
    decoder = json.JSONDecoder()
    held, at, number, place = "", 0, 0, "["
    with _utf8_or_broken():
        while True:
            # As much again as there is: an element that never ends is not read over and over.
            chunk = text.read(max(CHUNK_BYTES, len(held) - at))
            held, at = held[at:] + chunk, 0
            while True:
                at = _after_space(held, at)
                if held[at : at + 1] == "]" and place in "[,":
                    if (held[at + 1 :] + text.read(CHUNK_BYTES)).strip():
                        raise BrokenFileError("something follows the array")
                    return
                if not held.startswith(place, at):
                    break
                try:
                    row, end = decoder.raw_decode(held, _after_space(held, at + 1))
                except ValueError:
                    break
                except RecursionError as error:
                    raise BrokenFileError(f"element {number + 1} is nested too deep") from error
                at, place, number = end, ",", number + 1
                yield number, row if isinstance(row, dict) else NOT_AN_OBJECT
            if not chunk:
                raise BrokenFileError(f"the array breaks off or is no JSON after {number} elements")
            if len(held) - at > MAX_RECORD_BYTES:
                raise BrokenFileError(f"element {number + 1} is no JSON, or too long")


def _after_space(text: str, begin: int) -> int:
    """Where the first character is that is no space, or the end."""
    found = NO_SPACE.search(text, begin)
    return len(text) if found is None else found.start()


class _Raw(io.RawIOBase):
    """A stream as the standard library reads one."""

    def __init__(self, stream: Decompressed | _Ahead) -> None:
        self._stream = stream
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        chunk = self._held or self._stream.read(len(buffer))
        taken, self._held = chunk[: len(buffer)], chunk[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


@contextmanager
def _utf8_or_broken() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise BrokenFileError(f"not UTF-8 ({error})") from error


def _separated(stream: Decompressed, delimiter: str) -> Iterator[tuple[int, Row | str]]:
    """Rows below a line of names; a field in quotes may have line breaks in it."""
    csv.field_size_limit(MAX_RECORD_BYTES)
    text = io.TextIOWrapper(
        io.BufferedReader(_Raw(stream), CHUNK_BYTES), encoding="utf-8-sig", newline=""
    )
    with _utf8_or_broken():
        try:
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            names = next(reader, [])
            for number, cells in enumerate(reader, start=1):
                whole = len(cells) == len(names)
                yield number, dict(zip(names, cells, strict=True)) if whole else WRONG_COLUMNS
        except csv.Error as error:
            raise BrokenFileError(f"line {reader.line_num} breaks off ({error})") from error


def _parquet(path: Path, name: str) -> Iterator[tuple[int, Row | str]]:
    if plain_name(name) != name:
        raise BrokenFileError("Parquet is compressed inside; unpack it")
    number = 0
    try:
        with pq.ParquetFile(path) as table:
            for batch in read_table(table, path, ROWS_AT_ONCE):
                for row in _rows(batch):
                    number += 1
                    yield number, row
    except pa.ArrowException as error:
        raise BrokenFileError(f"not a readable Parquet file ({error})") from error


def _rows(batch: pa.RecordBatch) -> Iterator[Row | str]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            try:
                yield from batch.slice(index, 1).to_pylist()
            except UnicodeDecodeError:
                yield NOT_UTF8
