"""The rows of the pipeline's tables, and their Parquet schemas.

Languages are FLORES-200 codes (`por_Latn`) everywhere. Texts are UTF-8, NFC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    """The source's claim in `01_documents`; the identified language in `02_shards`."""
    source: str
    license: str


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
    [(name, pa.string()) for name in ("id", "text", "language", "source", "license")]
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


def _column(rows: list[Any], field: pa.Field) -> list[Any]:
    cells = [getattr(row, field.name) for row in rows]
    if pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
        return [[asdict(part) for part in cell] for cell in cells]
    return cells


def write_table(path: Path, rows: Iterable[Any], schema: pa.Schema) -> int:
    """Write dataclass rows as zstd Parquet and return their number; bytes depend on rows only."""
    # By column: asdict of each row costs 40 us, ten times the rest of the work on a million pairs.
    listed = list(rows)
    columns = {field.name: _column(listed, field) for field in schema}
    table = pa.Table.from_pydict(columns, schema=schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", compression_level=9)
    return int(table.num_rows)


def _read_rows(path: Path, schema: pa.Schema) -> Iterator[dict[str, Any]]:
    try:
        table = pq.read_table(path)
        if table.schema.names != schema.names:
            raise CorruptArtifactError(
                f"{path}: columns {table.schema.names}, expected {schema.names}; "
                "run the stage that makes it again"
            )
        yield from table.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorruptArtifactError(
            f"{path}: not a readable Parquet file ({error}); run the stage that makes it again"
        ) from error


def read_documents(path: Path) -> Iterator[Document]:
    """Yield the documents of one Parquet file; raises CorruptArtifactError."""
    for row in _read_rows(path, DOCUMENT_SCHEMA):
        yield Document(**row)


def read_pairs(path: Path) -> Iterator[Pair]:
    """Yield the pairs of one Parquet file; raises CorruptArtifactError."""
    for row in _read_rows(path, PAIR_SCHEMA):
        yield Pair(**row)


def read_instructions(path: Path) -> Iterator[Instruction]:
    """Yield the instructions of one Parquet file; raises CorruptArtifactError."""
    for row in _read_rows(path, INSTRUCTION_SCHEMA):
        messages = tuple(Message(**message) for message in row.pop("messages"))
        yield Instruction(**row, messages=messages)
