"""The tables of one unit of work: rows become bounded parts, and are counted as they are written.

In: documents and pairs. Out, in the unit's folder: `documents/` and `pairs/` with parts.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from polylm_core.languages import UNDETERMINED
from polylm_core.records import DOCUMENT_SCHEMA, PAIR_SCHEMA, Document, Pair, PartWriter

KINDS = ("documents", "pairs")


class Tables:
    """What a unit has written so far; counts are whole after `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begin()

    def _begin(self) -> None:
        self.documents, self.document_bytes = Counter[str](), Counter[str]()
        """By language, `und` where the source does not say it."""
        self.pairs = Counter[str]()
        """By the language that is not English."""
        self._documents = PartWriter(self._folder / "documents", DOCUMENT_SCHEMA, self._count)
        self._pairs = PartWriter(self._folder / "pairs", PAIR_SCHEMA, self._count_pairs)

    def add(self, rows: Iterable[Document | Pair]) -> None:
        """Write rows as they come; whatever reading them raises goes on to the caller."""
        for row in rows:
            if isinstance(row, Document):
                self._documents.add(row, len(row.text))
            else:
                self._pairs.add(row, len(row.text_a) + len(row.text_b))

    def discard(self) -> None:
        """Take back everything added."""
        for kind in KINDS:
            shutil.rmtree(self._folder / kind, ignore_errors=True)
        self._begin()

    def close(self) -> dict[str, int]:
        """Write what is left; returns the number of parts by kind."""
        self._documents.close()
        self._pairs.close()
        return {"documents": self._documents.num_parts, "pairs": self._pairs.num_parts}

    def _count(self, table: pa.Table) -> None:
        for language, num_rows, num_bytes in _by_language(table, "language", "text"):
            self.documents[language or UNDETERMINED] += num_rows
            self.document_bytes[language or UNDETERMINED] += num_bytes

    def _count_pairs(self, table: pa.Table) -> None:
        for language, num_rows, _ in _by_language(table, "language_b", "text_b"):
            self.pairs[language] += num_rows


def _by_language(table: pa.Table, language: str, text: str) -> list[tuple[str, int, int]]:
    """Language, rows and bytes of text of each language in a table."""
    sized = pa.table({"language": table[language], "bytes": pc.binary_length(table[text])})
    sums = sized.group_by("language").aggregate([("bytes", "count"), ("bytes", "sum")])
    columns = (sums[name].to_pylist() for name in ("language", "bytes_count", "bytes_sum"))
    return list(zip(*columns, strict=True))
