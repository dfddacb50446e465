"""One stream: the documents of a language, or its pairs with English, as token files.

A finished stream has a marker with its counts and the sha256 of its files; a stage that was killed
finds it, checks the files and goes on with the next stream.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import pyarrow as pa

from polylm_core.records import Pair, read_documents, read_pairs, write_table
from polylm_core.storage import no_space_named, sha256_file, write_atomic
from polylm_core.token_files import TokenFileWriter, bin_path, idx_path
from polylm_core.tokenizer import EOS_ID, load

SPLITS = ("train", "held_out")
BATCH_DOCUMENTS = 256
DOCUMENTS_SCHEMA = pa.schema([("id", pa.string()), ("first_token", pa.int64())])


@dataclass(frozen=True, slots=True)
class EncodeUnit:
    """A stream to encode."""

    stream: str
    kind: Literal["documents", "pairs"]
    sources: tuple[tuple[str, Path], ...]
    """Split and Parquet file, for the splits that the stream has."""
    model: Path
    out: Path
    """Folder of this stream: `<out>/<split>/<stream>.{bin,idx,documents.parquet}`."""
    seed: int
    max_tokens: int | None


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """What one split of a stream holds."""

    documents: int
    tokens: int
    bytes: int
    truncated_tokens: int
    """Tokens left out by `max_tokens_per_document`."""


@dataclass(frozen=True, slots=True)
class _DocumentRow:
    id: str
    first_token: int


def encode_stream(unit: EncodeUnit) -> dict[str, SplitCounts]:
    """Encode a stream, or find it finished; returns the counts of its splits."""
    finished = _read_marker(unit)
    if finished is not None:
        return finished
    counts = {split: _encode_split(unit, split, source) for split, source in unit.sources}
    _write_marker(unit, counts)
    return counts


def split_files(folder: Path, split: str, stream: str) -> tuple[Path, Path, Path]:
    """The files of a stream's split: ids, boundaries and document ids."""
    stem = folder / split / stream
    return bin_path(stem), idx_path(stem), stem.with_name(f"{stream}.documents.parquet")


def pair_text(pair: Pair, seed: int) -> str:
    """Both sides of a pair, one a line; English first for half of the pairs.

    PolyLM does not publish its layout (§3.1). A drawn order shows the model both directions
    without showing it any pair twice.
    """
    first_bit = hashlib.sha256(f"{seed}\n{pair.id}".encode()).digest()[0] & 1
    sides = (pair.text_a, pair.text_b) if first_bit else (pair.text_b, pair.text_a)
    return "\n".join(sides)


def _texts(unit: EncodeUnit, source: Path) -> Iterator[tuple[str, str]]:
    if unit.kind == "documents":
        for document in read_documents(source):
            yield document.id, document.text
    else:
        for pair in read_pairs(source):
            yield pair.id, pair_text(pair, unit.seed)


def _encode_split(unit: EncodeUnit, split: str, source: Path) -> SplitCounts:
    tokenizer = load(unit.model)
    rows: list[_DocumentRow] = []
    tokens = text_bytes = truncated = 0
    texts = _texts(unit, source)
    stem = unit.out / split / unit.stream
    with TokenFileWriter(stem, vocab_size=tokenizer.vocab_size) as writer:
        while batch := list(islice(texts, BATCH_DOCUMENTS)):
            encoded = tokenizer.encode_batch([text for _, text in batch])
            for (document, text), whole in zip(batch, encoded, strict=True):
                ids = _ended(whole, unit.max_tokens)
                writer.add(ids)
                rows.append(_DocumentRow(document, tokens))
                tokens += len(ids)
                text_bytes += len(text.encode())
                truncated += len(whole) + 1 - len(ids)
    documents = split_files(unit.out, split, unit.stream)[2]
    with no_space_named(documents):
        write_table(documents, rows, DOCUMENTS_SCHEMA)
    return SplitCounts(len(rows), tokens, text_bytes, truncated)


def _ended(ids: Sequence[int], max_tokens: int | None) -> list[int]:
    kept = ids if max_tokens is None else ids[: max_tokens - 1]
    return [*kept, EOS_ID]


def _marker(unit: EncodeUnit) -> Path:
    return unit.out / f"{unit.stream}.done.json"


def _files(unit: EncodeUnit) -> list[Path]:
    return [file for split, _ in unit.sources for file in split_files(unit.out, split, unit.stream)]


def _write_marker(unit: EncodeUnit, counts: dict[str, SplitCounts]) -> None:
    content = {
        "counts": {split: asdict(split_counts) for split, split_counts in counts.items()},
        "files": {str(f.relative_to(unit.out)): sha256_file(f) for f in _files(unit)},
    }
    write_atomic(_marker(unit), json.dumps(content, sort_keys=True).encode())


def _read_marker(unit: EncodeUnit) -> dict[str, SplitCounts] | None:
    """Counts of a stream whose files are all there as they were written, or none."""
    try:
        content = json.loads(_marker(unit).read_bytes())
        for file in _files(unit):
            if sha256_file(file) != content["files"][str(file.relative_to(unit.out))]:
                return None
    except (OSError, ValueError, KeyError):
        return None
    return {split: SplitCounts(**content["counts"][split]) for split, _ in unit.sources}
