"""The rows of the pipeline's tables, and their Parquet schemas.

Languages are FLORES-200 codes (`por_Latn`) everywhere. Texts are UTF-8, NFC. A table of text is one
file or a folder of parts (`00000.parquet`, `00001.parquet`, ...), read and written in bounded
memory whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.errors import CorruptArtifactError

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Document:
    """One document: paragraphs separated by newlines, in one language."""

    id: str
    """`<source>/<language>/<key>`, unique in a DocumentSet and stable across runs."""
    text: str
    language: str
    """The source's claim in `01_documents`, empty where it makes none; the identified language in
    `02_shards`."""
    source: str
    license: str
    url: str = ""
    """Where the text was found, for opt-outs by domain; empty if that is not known."""
    copies: int = 1
    """Documents of its group of duplicates, itself included, of which it alone was kept."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One aligned paragraph in two languages; side a is always English in the default recipe."""

    id: str
    """`<source>/<language a>-<language b>/<document key>#<unit>`."""
    language_a: str
    text_a: str
    language_b: str
    text_b: str
    source: str
    license: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """A chat to learn from: messages that end with an assistant's turn."""

    id: str
    language: str
    """The language the answer is in."""
    prompt_language: str
    """The language the instruction is written in."""
    origin: str
    """`self-instruct`, `cross-lingual`, `taco` or the name of an imported set."""
    license: str
    messages: tuple[Message, ...]


DOCUMENT_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "text", "language", "source", "license", "url")),
        ("copies", pa.int64()),
    ]
)
PAIR_SCHEMA = pa.schema(
    [
        (name, pa.string())
        for name in ("id", "language_a", "text_a", "language_b", "text_b", "source", "license")
    ]
)
INSTRUCTION_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("language", pa.string()),
        ("prompt_language", pa.string()),
        ("origin", pa.string()),
        ("license", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
    ]
)


PART_ROWS = 65_536
"""Rows of a part at most."""
PART_CHARACTERS = 1 << 25
"""Text of a part, about 60 MB: a part ends with the row that reaches it, so that long documents
make no large parts."""
BATCH_ROWS = 4_096
PART_COMPRESSION_LEVEL = 1
"""Of zstd: 240 MB/s a core; level 3 writes 140 MB/s and a fifth less, level 9 50 MB/s."""
REPEATED_COLUMNS = ("language", "language_a", "language_b", "source", "license", "role")
"""Columns with few values, which Parquet stores as numbers of a dictionary."""


def _column(rows: list[Any], field: pa.Field) -> list[Any]:
    cells = [getattr(row, field.name) for row in rows]
    if pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
        return [[asdict(part) for part in cell] for cell in cells]
    return cells


def write_table(path: Path, rows: Iterable[Any], schema: pa.Schema) -> int:
    """Write dataclass rows as zstd Parquet and return their number; bytes depend on rows only."""
    table = _to_table(list(rows), schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", compression_level=9)
    return int(table.num_rows)


def _to_table(rows: list[Any], schema: pa.Schema) -> pa.Table:
    # By column: asdict of each row costs 40 us, ten times the rest of the work on a million pairs.
    columns = {field.name: _column(rows, field) for field in schema}
    return pa.Table.from_pydict(columns, schema=schema)


def write_batches(path: Path, table: pa.Table) -> None:
    """Write a table as one part of a text table, readable in bounded memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", compression_level=3, row_group_size=BATCH_ROWS)


def part_file(folder: Path, number: int) -> Path:
    """The file of one part of a table."""
    return folder / f"{number:05d}.parquet"


def list_parts(path: Path) -> list[Path]:
    """The files of a table in order: `path` itself, or the parts in the folder `path`.

    Raises CorruptArtifactError for a folder without parts.
    """
    if not path.is_dir():
        return [path]
    parts = sorted(path.glob("*.parquet"))
    if not parts:
        raise CorruptArtifactError(f"{path}: no parts; run the stage that makes it again")
    return parts


class PartWriter:
    """Writes a table row by row as parts of `PART_ROWS` or about `PART_CHARACTERS` at most."""

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        on_part: Callable[[pa.Table], None] | None = None,
    ) -> None:
        self.num_parts = 0
        """Parts written so far."""
        self._folder = folder
        self._schema = schema
        self._repeated = [name for name in schema.names if name in REPEATED_COLUMNS]
        self._on_part = on_part
        self._rows: list[Any] = []
        self._characters = 0

    def add(self, row: Any, num_characters: int) -> None:
        """Take a row with so many characters of text; writes a part when it is full."""
        self._rows.append(row)
        self._characters += num_characters
        if len(self._rows) >= PART_ROWS or self._characters >= PART_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Write the rows at hand as a part, also if there are none."""
        table = _to_table(self._rows, self._schema)
        self._rows, self._characters = [], 0
        part = part_file(self._folder, self.num_parts)
        part.parent.mkdir(parents=True, exist_ok=True)
        # A dictionary of texts that are all different is work for nothing.
        pq.write_table(
            table,
            part,
            compression="zstd",
            compression_level=PART_COMPRESSION_LEVEL,
            use_dictionary=self._repeated,
            write_statistics=False,
        )
        self.num_parts += 1
        if self._on_part is not None:
            self._on_part(table)

    def close(self) -> None:
        """Write what is left; a table without rows has no part."""
        if self._rows:
            self.flush()


def write_parts(folder: Path, rows: Iterable[Any], schema: pa.Schema) -> int:
    """Write a table as bounded parts in the folder; returns the rows written.

    A table without rows has one part without rows.
    """
    writer = PartWriter(folder, schema)
    texts = [name for name in schema.names if name.startswith("text")]
    written = 0
    for row in rows:
        writer.add(row, sum(len(getattr(row, name)) for name in texts))
        written += 1
    writer.close()
    if not written:
        writer.flush()
    return written


def _read_rows(path: Path, schema: pa.Schema) -> Iterator[dict[str, Any]]:
    for part in list_parts(path):
        for batch in read_batches(part, schema):
            yield from batch.to_pylist()


def read_batches(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield one Parquet file in batches of at most `BATCH_ROWS`; raises CorruptArtifactError."""
    try:
        with pq.ParquetFile(path) as file:
            if file.schema_arrow.names != schema.names:
                raise CorruptArtifactError(
                    f"{path}: columns {file.schema_arrow.names}, expected {schema.names}; "
                    "run the stage that makes it again"
                )
            yield from file.iter_batches(batch_size=BATCH_ROWS)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorruptArtifactError(
            f"{path}: not a readable Parquet file ({error}); run the stage that makes it again"
        ) from error


def read_documents(path: Path) -> Iterator[Document]:
    """Yield the documents of a file or a folder of parts; raises CorruptArtifactError."""
    for row in _read_rows(path, DOCUMENT_SCHEMA):
        yield Document(**row)


def read_pairs(path: Path) -> Iterator[Pair]:
    """Yield the pairs of a file or a folder of parts; raises CorruptArtifactError."""
    for row in _read_rows(path, PAIR_SCHEMA):
        yield Pair(**row)


def read_instructions(path: Path) -> Iterator[Instruction]:
    """Yield the instructions of one Parquet file; raises CorruptArtifactError."""
    for row in _read_rows(path, INSTRUCTION_SCHEMA):
        messages = tuple(Message(**message) for message in row.pop("messages"))
        yield Instruction(**row, messages=messages)
