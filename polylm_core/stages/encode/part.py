"""One part of a table, documents or pairs, as token files: the unit that is never done twice.

A finished part has a marker with its counts and the sha256 of its files; a stage that was killed
finds it, checks the files and goes on with the parts that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polylm_core.document_map import DocumentsWriter, documents_path
from polylm_core.flat_encoder import FlatEncoder, FlatIds
from polylm_core.pair_layouts import LayoutName, lay_out
from polylm_core.records import DOCUMENT_SCHEMA, PAIR_SCHEMA, Pair, read_batches
from polylm_core.restart import read_marker, write_marker
from polylm_core.storage import filling
from polylm_core.token_files import TokenFileWriter, bin_path
from polylm_core.token_index import idx_path
from polylm_core.tokenizer import EOS_ID, load

BATCH_BYTES = 1 << 22
"""Text that is encoded at once."""


@dataclass(frozen=True, slots=True)
class EncodePart:
    """A part to encode."""

    split: str
    stream: str
    kind: Literal["documents", "pairs"]
    source: Path
    """Parquet file of the part."""
    model: Path
    model_sha256: str
    stem: Path
    """Where its files go: `<stem>.{bin,idx,documents.parquet}`."""
    seed: int
    pair_layouts: Mapping[LayoutName, float]
    max_tokens: int | None


@dataclass(frozen=True, slots=True)
class PartCounts:
    """What a part holds; parts of a stream add up."""

    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    truncated_tokens: int = 0
    """Tokens left out by `max_tokens_per_document`."""

    def __add__(self, other: PartCounts) -> PartCounts:
        return PartCounts(
            self.documents + other.documents,
            self.tokens + other.tokens,
            self.bytes + other.bytes,
            self.truncated_tokens + other.truncated_tokens,
        )


def encode_part(unit: EncodePart) -> PartCounts:
    """Encode a part, or find it finished; returns its counts."""
    finished = read_marker(_marker(unit))
    if finished is not None:
        return PartCounts(**finished)
    with filling(unit.stem.parent) as folder:
        counts = _encode(unit, folder / unit.stem.name)
    write_marker(_marker(unit), files_of(unit.stem), asdict(counts))
    return counts


def _encode(unit: EncodePart, stem: Path) -> PartCounts:
    """Write the token files of that stem."""
    encoder = _encoder(unit.model, unit.model_sha256)
    text_bytes = truncated = 0
    with (
        TokenFileWriter(stem, vocab_size=encoder.tokenizer.vocab_size) as writer,
        DocumentsWriter(stem) as documents,
    ):
        for ids, texts in _batches(unit):
            whole = encoder.encode(texts)
            kept = _ended(whole, unit.max_tokens)
            writer.add_batch(*kept)
            documents.add(ids, kept.lengths)
            text_bytes += int(pc.sum(pc.binary_length(texts)).as_py())
            truncated += len(whole.ids) + len(texts) - len(kept.ids)
    return PartCounts(writer.documents, writer.tokens, text_bytes, truncated)


@lru_cache(maxsize=1)
def _encoder(model: Path, sha256: str) -> FlatEncoder:
    """The model of that content, read once a process: the units of a stage share it."""
    return FlatEncoder(load(model))


def _batches(unit: EncodePart) -> Iterator[tuple[list[str], pa.Array]]:
    """Yield ids and texts, as many as make about `BATCH_BYTES`."""
    schema = DOCUMENT_SCHEMA if unit.kind == "documents" else PAIR_SCHEMA
    for batch in read_batches(unit.source, schema):
        ids = batch.column("id").to_pylist()
        texts = batch.column("text") if unit.kind == "documents" else _pair_texts(batch, unit)
        sizes = np.cumsum(pc.binary_length(texts).to_numpy(), dtype=np.int64)
        ends = np.flatnonzero(np.diff(sizes // BATCH_BYTES)) + 1
        for begin, end in pairwise([0, *ends.tolist(), len(ids)]):
            if begin < end:
                yield ids[begin:end], texts.slice(begin, end - begin)


def _pair_texts(batch: pa.RecordBatch, unit: EncodePart) -> pa.Array:
    pairs = (Pair(**row) for row in batch.to_pylist())
    texts = [lay_out(pair, unit.seed, unit.pair_layouts) for pair in pairs]
    return pa.array(texts, pa.string())


def _ended(whole: FlatIds, max_tokens: int | None) -> FlatIds:
    """The texts' ids, cut to leave room, with the end mark after each."""
    ids, lengths = whole
    if max_tokens is not None:
        kept = np.minimum(lengths, max_tokens - 1)
        ids, lengths = ids[_numbers_within(lengths) < np.repeat(kept, lengths)], kept
    return FlatIds(np.insert(ids, np.cumsum(lengths), EOS_ID), lengths + 1)


def _numbers_within(lengths: NDArray[Any]) -> NDArray[Any]:
    """0, 1, 2, ... in each run of the given lengths."""
    begins = np.cumsum(lengths) - lengths
    numbers: NDArray[Any] = np.arange(lengths.sum()) - np.repeat(begins, lengths)
    return numbers


def _marker(unit: EncodePart) -> Path:
    return unit.stem.with_name(f"{unit.stem.name}.done.json")


def files_of(stem: Path) -> tuple[Path, ...]:
    """The files of a stem."""
    return bin_path(stem), idx_path(stem), documents_path(stem)
