"""Documents on their way through curate: their columns, with the texts in one buffer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from polylm_core.characters import Texts, composed, from_arrow, from_strings
from polylm_core.hashing import Hashes
from polylm_core.stages.curate.ledger import Items, Kind

COLUMNS = ("id", "source", "license", "url")

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Documents of one language, each column as long as `texts`."""

    language: str
    columns: pa.RecordBatch
    """`COLUMNS`, strings."""
    keys: Hashes
    """A hash of id, address and text: the order of everything, whatever order the rows came in."""
    texts: Texts
    extra: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """What was found out about the documents, an array's row a document."""
    kind: Kind = "documents"
    """Or `pairs`: texts of two lines, English first."""

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.keys)

    @classmethod
    def of(cls, language: str, batch: pa.RecordBatch) -> Self:
        """Rows of a DocumentSet; texts are brought to NFC."""
        ids, urls = batch.column("id").to_pylist(), batch.column("url").to_pylist()
        texts = from_strings(composed(batch.column("text").to_pylist()))
        return cls(language, batch.select(list(COLUMNS)), row_keys(ids, urls, texts), texts)

    def take(self, places: Places) -> Self:
        """The documents at some places, in that order."""
        if len(places) == len(self) and (np.diff(places) == 1).all():
            return self
        return replace(
            self,
            columns=self.columns.take(pa.array(places)),
            keys=self.keys[places],
            texts=self.texts.take(places),
            extra={name: array[places] for name, array in self.extra.items()},
        )

    def with_texts(self, texts: Texts) -> Self:
        """The same documents with other texts."""
        return replace(self, texts=texts)

    def forgetting(self) -> Self:
        """The same documents without what was found out."""
        return replace(self, extra={})

    def knowing(self, **extra: npt.NDArray[Any]) -> Self:
        """The same documents with more that is known of them."""
        return replace(self, extra={**self.extra, **extra})

    def where(self, mask: Mask) -> Self:
        """The documents that a mask chooses."""
        return self.take(np.flatnonzero(mask))

    def items(self) -> Items:
        """The documents as the ledger takes them."""
        ids = self.columns.column("id")

        def show(row: int) -> tuple[str, str]:
            return ids[row].as_py(), self.texts.text(row)

        return Items(self.kind, self.language, self.keys, self.texts.sizes, show)


def row_keys(ids: Sequence[str], urls: Sequence[str], texts: Texts) -> Hashes:
    """Hashes of ids, addresses and texts, uint64[rows]: sources may give one id to two texts."""
    bounds = pairwise(texts.offsets)
    digests = b"".join(
        hashlib.blake2b(
            texts.values[start:end].data, digest_size=8, key=_key(f"{id}\n{url}")
        ).digest()
        for id, url, (start, end) in zip(ids, urls, bounds, strict=True)
    )
    return np.frombuffer(digests, np.uint64)


def concatenated(parts: Sequence[Rows]) -> Rows:
    """Rows of one language after each other."""
    table = pa.Table.from_batches([part.columns for part in parts]).combine_chunks()
    columns = table.to_batches()[0] if table.num_rows else parts[0].columns
    texts = pa.chunked_array([part.texts.to_arrow() for part in parts])
    return Rows(
        parts[0].language,
        columns,
        np.concatenate([part.keys for part in parts]),
        from_arrow(texts),
        {name: np.concatenate([part.extra[name] for part in parts]) for name in parts[0].extra},
        parts[0].kind,
    )


def _key(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def lines_of(rows: Rows, documents: Places, starts: Places, ends: Places, raw: Texts) -> Items:
    """Lines as the ledger takes them: stretches of the buffer `raw`, of the rows' documents."""
    ids = rows.columns.column("id")
    places = (starts - raw.offsets[documents]).astype(np.uint64)

    def show(line: int) -> tuple[str, str]:
        text = raw.values[starts[line] : ends[line]].tobytes().decode()
        return ids[int(documents[line])].as_py(), text

    keys = rows.keys[documents] + places * np.uint64(0x9E3779B97F4A7C15)
    return Items("lines", rows.language, keys, ends - starts, show)
