"""Which document a token belongs to, and where a document's tokens are.

In: a stream's `.idx` and the `<stream>.documents.parquet` beside it, one row a document in the
order of the tokens: id and first token. Out: the document at a token's position, the positions of
documents by id. Neither file is ever in memory whole: a position costs a search of the index and
one row group, a look for ids costs one pass over the ids.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from polylm_core.errors import CorruptArtifactError
from polylm_core.storage import no_space_named
from polylm_core.token_files import TokenFile
from polylm_core.token_index import REMEDY

DOCUMENTS_SCHEMA = pa.schema([("id", pa.string()), ("first_token", pa.int64())])
ROW_GROUP_ROWS = 65_536
"""Rows that one look-up reads: about 3 MB of ids."""


def documents_path(stem: Path) -> Path:
    """The file of document ids of a stream."""
    return stem.with_name(f"{stem.name}.documents.parquet")


class DocumentsWriter:
    """Writes the rows of `<stem>.documents.parquet` as they come."""

    def __init__(self, stem: Path) -> None:
        self._path = documents_path(stem)
        self._tokens = 0
        self._ids: list[str] = []
        self._sizes: list[NDArray[Any]] = []

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = pq.ParquetWriter(
            self._path, DOCUMENTS_SCHEMA, compression="zstd", compression_level=9
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with no_space_named(self._path), self._file:
            if kind is None:
                self._flush()

    def add(self, ids: Sequence[str], sizes: NDArray[Any]) -> None:
        """Append documents: their ids, and the tokens of each, [documents]."""
        self._ids.extend(ids)
        self._sizes.append(sizes)
        if len(self._ids) >= ROW_GROUP_ROWS:
            self._flush()

    def add_file(self, stem: Path) -> None:
        """Append all documents of another stream."""
        with DocumentMap(stem) as documents:
            for begin, ids in documents.row_groups():
                self.add(ids, documents.file.document_sizes(begin, begin + len(ids)))

    def _flush(self) -> None:
        sizes = np.concatenate([np.zeros(0, dtype=np.int64), *self._sizes])
        ends = self._tokens + np.cumsum(sizes, dtype=np.int64)
        table = pa.table([pa.array(self._ids, pa.string()), ends - sizes], schema=DOCUMENTS_SCHEMA)
        with no_space_named(self._path):
            self._file.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self._tokens += int(sizes.sum())
        self._ids, self._sizes = [], []


@dataclass(frozen=True, slots=True)
class DocumentSpan:
    """One document and its place in a stream."""

    id: str
    languages: tuple[str, ...]
    """Its language; of a pair both, English first."""
    number: int
    begin: int
    """Its first token's position in the stream."""
    end: int
    """The position after its last token."""


class DocumentMap:
    """The documents of one stream, to be looked up by token or by id."""

    def __init__(self, stem: Path, *, verified: bool = False) -> None:
        """Open `<stem>.{bin,idx,documents.parquet}`; raises CorruptArtifactError.

        `verified` is as `TokenFile.open` takes it.
        """
        self.path = documents_path(stem)
        self.file = TokenFile.open(stem, verified=verified)
        self.languages = tuple(stem.name.split("-"))
        try:
            self._rows = pq.ParquetFile(self.path)
        except (pa.ArrowException, OSError) as error:
            raise CorruptArtifactError(
                f"{self.path}: cannot be read ({error}); {REMEDY}"
            ) from error
        seen = self._rows.metadata.num_rows
        if not self._rows.schema_arrow.equals(DOCUMENTS_SCHEMA) or seen != len(self.file):
            self._rows.close()
            raise CorruptArtifactError(
                f"{self.path}: {seen:,} rows of {self._rows.schema_arrow.names}, expected "
                f"{len(self.file):,} of {DOCUMENTS_SCHEMA.names}; {REMEDY}"
            )
        groups = range(self._rows.num_row_groups)
        rows = (self._rows.metadata.row_group(group).num_rows for group in groups)
        self._first_rows = list(accumulate(rows, initial=0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rows.close()

    def at(self, position: int) -> DocumentSpan:
        """The document that the token at `position` of the stream belongs to.

        Raises IndexError for a position outside the stream.
        """
        number = self.file.document_of(position)
        return self.numbered([number])[number]

    def numbered(self, numbers: Collection[int]) -> dict[int, DocumentSpan]:
        """The documents of these numbers, in order; each row group is read once."""
        found: dict[int, DocumentSpan] = {}
        group, ids = -1, pa.chunked_array([], pa.string())
        for number in sorted(set(numbers)):
            if number >= self._first_rows[group + 1]:
                group = bisect_right(self._first_rows, number) - 1
                ids = self._read_ids(group)
            found[number] = self._span(ids[number - self._first_rows[group]].as_py(), number)
        return found

    def find(self, ids: Collection[str]) -> dict[str, DocumentSpan]:
        """The places of those of the documents that the stream has, by id, in stream order."""
        wanted = pa.array(sorted(set(ids)), pa.string())
        found: dict[str, DocumentSpan] = {}
        for group, first_row in enumerate(self._first_rows[:-1]):
            column = self._read_ids(group)
            for row in np.flatnonzero(pc.is_in(column, value_set=wanted)):
                document = column[int(row)].as_py()
                found[document] = self._span(document, first_row + int(row))
        return found

    def row_groups(self) -> Iterator[tuple[int, list[str]]]:
        """Yield number of the first document and ids of all, some ten thousand at a time."""
        for group, first_row in enumerate(self._first_rows[:-1]):
            yield first_row, self._read_ids(group).to_pylist()

    def _read_ids(self, group: int) -> pa.ChunkedArray:
        return self._rows.read_row_group(group, columns=["id"])["id"]

    def _span(self, document: str, number: int) -> DocumentSpan:
        begin, end = self.file.document_span(number)
        return DocumentSpan(document, self.languages, number, begin, end)
