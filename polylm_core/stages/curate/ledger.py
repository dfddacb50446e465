"""What curate leaves out: every item with its reason, and the sums by reason.

`drops.parquet` has a row an item; `attrition.parquet` the sums. Items are documents, pairs, and
lines (`<document id>:<line>`, lines counted from 1 after the filters before).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa

from polylm_core.records import write_table

Kind = Literal["documents", "lines", "pairs"]

SAMPLE_CHARACTERS = 200

DROP_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("kind", pa.string(), metadata={"values": "documents, lines or pairs"}),
        pa.field("language", pa.string()),
        pa.field("filter", pa.string(), metadata={"values": "see FILTERS"}),
        pa.field("reason", pa.string()),
        pa.field("bytes", pa.int64(), metadata={"unit": "UTF-8 bytes of the text left out"}),
        pa.field("sample", pa.string(), metadata={"values": "the text's first characters"}),
    ]
)

ATTRITION_SCHEMA = pa.schema(
    [
        pa.field("language", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("filter", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("items", pa.int64()),
        pa.field("bytes", pa.int64()),
    ]
)

FILTERS = (
    "normalise",
    "identify",
    "rules",
    "exact-duplicates",
    "near-duplicates",
    "decontaminate",
)
"""The filters in the order they are applied."""


@dataclass(frozen=True, slots=True)
class Drop:
    """One item left out."""

    id: str
    kind: Kind
    language: str
    filter: str
    reason: str
    bytes: int
    sample: str


@dataclass(frozen=True, slots=True)
class Attrition:
    """Items left out of one language for one reason."""

    language: str
    kind: Kind
    filter: str
    reason: str
    items: int
    bytes: int


@dataclass(slots=True)
class Ledger:
    """The drops of one unit of work."""

    language: str
    drops: list[Drop] = field(default_factory=list)

    def drop(self, kind: Kind, id: str, filter: str, reason: str, text: str) -> None:
        """Write down one item left out."""
        size = len(text.encode())
        sample = text[:SAMPLE_CHARACTERS]
        self.drops.append(Drop(id, kind, self.language, filter, reason, size, sample))

    def attrition(self) -> list[Attrition]:
        """Sum the drops by kind, filter and reason, in the order of the filters."""
        sums: dict[tuple[Kind, str, str], tuple[int, int]] = {}
        for drop in self.drops:
            key = (drop.kind, drop.filter, drop.reason)
            items, size = sums.get(key, (0, 0))
            sums[key] = (items + 1, size + drop.bytes)
        ordered = sorted(sums, key=lambda key: (key[0], FILTERS.index(key[1]), key[2]))
        return [Attrition(self.language, *key, *sums[key]) for key in ordered]

    def write(self, path: Path) -> None:
        """Write the drops to a Parquet file of `DROP_SCHEMA`."""
        write_table(path, self.drops, DROP_SCHEMA)
