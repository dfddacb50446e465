"""A sample of the corpus: as many bytes of each language, documents drawn by a hash of their id."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from polylm_core.records import DOCUMENT_SCHEMA, Document, list_parts, read_documents, write_parts

COLUMNS = ("id", "text", "language", "source", "license")
BATCH_ROWS = 1_000

Sample = Mapping[str, Sequence[Document]]
"""Documents by language, in the order of their draw."""


def parts(corpus: Path) -> list[Path]:
    """Return the corpus' Parquet files."""
    found = sorted((corpus / "documents").glob("*/*.parquet"))
    if not found:
        raise SystemExit(f"error: {corpus} holds no corpus; run `python -m benchmarks.corpus`")
    return found


def corpus_documents(file: Path) -> Iterator[Document]:
    """Yield the documents of one file of the corpus, which has columns of its own."""
    for batch in pq.ParquetFile(file).iter_batches(batch_size=BATCH_ROWS, columns=list(COLUMNS)):
        for row in batch.to_pylist():
            yield Document(**row)


def draw(
    corpus: Path,
    languages: Collection[str],
    *,
    bytes_per_language: int | Mapping[str, int],
    documents_per_language: int | None = None,
    max_document_bytes: int | None = None,
) -> dict[str, list[Document]]:
    """Draw documents of each language until it has enough bytes or documents."""
    if isinstance(bytes_per_language, int):
        bytes_per_language = dict.fromkeys(languages, bytes_per_language)
    places: dict[str, list[tuple[bytes, str, int]]] = {language: [] for language in languages}
    for identifier, language, size in _sizes(parts(corpus)):
        if language in places and size <= (max_document_bytes or size):
            key = hashlib.blake2b(identifier.encode(), digest_size=8).digest()
            places[language].append((key, identifier, size))
    order = {}
    for language, found in places.items():
        total = 0
        for number, (_, identifier, size) in enumerate(sorted(found)):
            if total >= bytes_per_language[language] or number == documents_per_language:
                break
            order[identifier] = number
            total += size
    drawn: dict[str, list[Document]] = {language: [] for language in languages}
    for part in parts(corpus):
        for document in corpus_documents(part):
            if document.id in order:
                drawn[document.language].append(document)
    return {code: sorted(rows, key=lambda row: order[row.id]) for code, rows in drawn.items()}


def sizes(corpus: Path, languages: Collection[str]) -> dict[str, int]:
    """Return the corpus' UTF-8 bytes of each language."""
    sums = dict.fromkeys(languages, 0)
    for _, language, size in _sizes(parts(corpus)):
        if language in sums:
            sums[language] += size
    return sums


def _sizes(files: Sequence[Path]) -> Iterator[tuple[str, str, int]]:
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(columns=["id", "language", "text"]):
            sizes = pc.binary_length(batch["text"]).to_pylist()
            yield from zip(
                batch["id"].to_pylist(), batch["language"].to_pylist(), sizes, strict=True
            )


def write(folder: Path, sample: Sample) -> int:
    """Write `<language>/<NNNNN>.parquet`; return the UTF-8 bytes of the texts."""
    for language, documents in sample.items():
        write_parts(folder / language, documents, DOCUMENT_SCHEMA)
    return sum(len(row.text.encode()) for rows in sample.values() for row in rows)


def read(folder: Path) -> dict[str, list[Document]]:
    """Read what `write` wrote."""
    languages = sorted(path.name for path in folder.iterdir() if path.is_dir())
    return {
        code: [row for part in list_parts(folder / code) for row in read_documents(part)]
        for code in languages
    }
