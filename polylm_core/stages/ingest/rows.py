"""JSONL and Parquet: rows with named columns become documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.languages import load_languages
from polylm_core.lines import BrokenFileError, iter_lines, read_table
from polylm_core.records import Document
from polylm_core.remote import InputFile, on_disk
from polylm_core.stages.ingest import skipped
from polylm_core.stages.ingest.declared import Columns
from polylm_core.stages.ingest.job import Job, key_of

BATCH_BYTES = 1 << 25
"""Plain bytes of the rows of a Parquet file that are in memory at once."""
MAX_BATCH_ROWS = 4_096
READ_BYTES = 1 << 20


def read_jsonl(job: Job, file: InputFile, columns: Columns) -> Iterator[Document]:
    """Yield the documents of a file of JSON objects, one a line."""
    with job.opened(file) as stream:
        for number, line in enumerate(iter_lines(stream), start=1):
            if line is None:
                job.skips.add(file.name, number, skipped.TOO_LONG)
            elif line and not line.isspace():
                yield from _from_json(job, file, columns, number, line)


def _from_json(
    job: Job, file: InputFile, columns: Columns, number: int, line: bytes
) -> Iterator[Document]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        job.skips.add(file.name, number, _why_no_json(line), line)
        return
    if isinstance(row, dict):
        yield from _document(job, file, columns, number, row)
    else:
        job.skips.add(file.name, number, skipped.BAD_JSON, line)


def _why_no_json(line: bytes) -> str:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return skipped.NOT_UTF8
    return skipped.BAD_JSON


def _document(
    job: Job, file: InputFile, columns: Columns, number: int, row: Mapping[str, Any]
) -> Iterator[Document]:
    """Yield the document of one row, or count why there is none."""
    text = row.get(columns.text_column, row)
    if not isinstance(text, str):
        reason = skipped.NOT_A_STRING
        if text is row:
            reason = skipped.NO_TEXT
        elif text is None:
            reason = skipped.NULL_TEXT
        job.skips.add(file.name, number, reason, str(row))
        return
    if columns.share < 1 and not _is_drawn(text, columns.share):
        job.skips.add(file.name, number, skipped.NOT_DRAWN, text)
        return
    language = columns.language
    if columns.language_column is not None:
        label = row.get(columns.language_column)
        language = columns.languages.get(str(label)) if columns.languages else str(label)
        if language not in load_languages():
            job.skips.add(file.name, number, skipped.UNKNOWN_LABEL, f"{label}: {text[:300]}")
            return
    key = row.get(columns.id_column) if columns.id_column else None
    url = row.get(columns.url_column) if columns.url_column else None
    yield from job.document(
        file,
        number,
        text,
        key=None if key is None else str(key),
        language=language,
        url=None if url is None else str(url),
    )


def _is_drawn(text: str, share: float) -> bool:
    return int(key_of(text)[:16], 16) < share * 2**64


def read_parquet(job: Job, file: InputFile, columns: Columns) -> Iterator[Document]:
    """Yield the documents of a Parquet file, whatever the size of its row groups."""
    with on_disk(file, job.scratch) as (path, sha256):
        job.sha256s[file.name] = sha256
        try:
            # Buffered, a column of a row group is read page by page, not whole.
            with pq.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False) as table:
                yield from _from_table(job, file, columns, table, path)
        except (pa.ArrowException, OSError) as error:
            raise BrokenFileError(f"not a readable Parquet file ({error})") from error


def _from_table(
    job: Job, file: InputFile, columns: Columns, table: pq.ParquetFile, path: Path
) -> Iterator[Document]:
    options = (columns.id_column, columns.url_column, columns.language_column)
    wanted = [columns.text_column, *(name for name in options if name)]
    schema = table.schema_arrow
    for name in wanted:
        if name not in schema.names:
            raise BrokenFileError(f"has no column {name!r}, only {', '.join(schema.names)}")
    kind = schema.field(columns.text_column).type
    if not any(is_kind(kind) for is_kind in TEXT_KINDS):
        raise BrokenFileError(f"column {columns.text_column!r} is {kind}, not text")
    number = 0
    for batch in read_table(table, path, _batch_rows(table), wanted):
        cells = {name: _cells(batch.column(name)) for name in wanted}
        for index in range(batch.num_rows):
            number += 1
            row = {name: column[index] for name, column in cells.items()}
            if any(isinstance(cell, bytes) for cell in row.values()):
                job.skips.add(file.name, number, skipped.NOT_UTF8, row[columns.text_column] or "")
            else:
                yield from _document(job, file, columns, number, row)


def _is_dictionary_of_text(kind: pa.DataType) -> bool:
    return pa.types.is_dictionary(kind) and any(is_kind(kind.value_type) for is_kind in PLAIN_KINDS)


PLAIN_KINDS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
TEXT_KINDS = (*PLAIN_KINDS, _is_dictionary_of_text)


def _batch_rows(table: pq.ParquetFile) -> int:
    """Rows whose plain text is about `BATCH_BYTES`, by the file's own account."""
    groups = [table.metadata.row_group(index) for index in range(table.metadata.num_row_groups)]
    largest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1)
    return max(1, min(MAX_BATCH_ROWS, int(BATCH_BYTES / max(largest, 1))))


def _cells(column: pa.Array) -> list[Any]:
    """Python values; a text that is not UTF-8 stays bytes."""
    try:
        cells: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        cells = [_decoded(cell) for cell in column.cast(pa.large_binary()).to_pylist()]
    return cells


def _decoded(cell: bytes | None) -> str | bytes | None:
    try:
        return cell if cell is None else cell.decode("utf-8")
    except UnicodeDecodeError:
        return cell
