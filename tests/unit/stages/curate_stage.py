"""The stage `curate` on small invented books in three languages, run in a temporary folder."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from polylm_core.artifacts import DocumentSet, ShardSet, partial_folder, publish
from polylm_core.records import (
    DOCUMENT_SCHEMA,
    PAIR_SCHEMA,
    Document,
    Pair,
    part_file,
    read_documents,
    write_table,
)
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.stage import curate
from tests.support import make_run

LANGUAGES = ("eng_Latn", "deu_Latn", "tha_Thai")
WORDS = {
    "eng_Latn": "the house and a garden of my sister that have been with us when children play "
    "often near water but nobody could find where their old books were to be read again",
    "deu_Latn": "das Haus und der Garten meiner Schwester sind oft leer wenn die Kinder nicht "
    "spielen aber niemand konnte heute finden wo ihre alten Bücher waren um sie zu lesen",
    "tha_Thai": "บ้าน และ สวน ของ พี่สาว มัก จะ ว่าง เมื่อ เด็ก ไม่ เล่น แต่ ไม่มี ใคร หา หนังสือ เก่า พบ "
    "ได้ ใน วันนี้ เพื่อ อ่าน อีกครั้ง หนึ่ง ที่ ริม น้ำ",
}
CONFIG: dict[str, Any] = {
    "max_word_characters": 1000,
    "min_copied_letters": 20,
    "identify": {
        "sample_characters": 1000,
        "min_confidence": 0.5,
        "pair_min_confidence": 0.05,
        "pair_min_characters": 40,
    },
    "rules": {
        "default": {"min_words": 10},
        "by_language": {"tha_Thai": {"characters_per_word": 4}},
    },
    "near_duplicates": {"min_jaccard": 0.8},
    "pairs": {"max_length_ratio": 3, "min_judged_characters": 20},
    "held_out": {"share": 0.15, "min_bytes": 200},
    "decontaminate": {},
}


def sentence(language: str, seed: str) -> str:
    """Fourteen words in an order that no other seed gives."""
    words = random.Random(seed).sample(WORDS[language].split(), 14)
    return ("" if language == "tha_Thai" else " ").join(words)


def document(language: str, key: str, text: str | None = None) -> Document:
    made = text or "\n".join(sentence(language, f"{language} {key} {i}") for i in range(5))
    return Document(f"books/{language}/{key}", made, language, "books", "MIT")


def pair(language: str, key: str, unit: int, a: str | None = None, b: str | None = None) -> Pair:
    return Pair(
        id=f"books/eng_Latn-{language}/{key}#{unit + 1}",
        language_a="eng_Latn",
        text_a=a or sentence("eng_Latn", f"eng_Latn {key} {unit}"),
        language_b=language,
        text_b=b or sentence(language, f"{language} {key} {unit}"),
        source="books",
        license="MIT",
    )


def document_set(
    folder: Path,
    documents: Iterable[Document] = (),
    pairs: Iterable[Pair] = (),
    evaluation: Sequence[Document] = (),
) -> DocumentSet:
    """Forty documents a language with their pairs, and what a test adds."""
    keys = [f"chapter/{number}" for number in range(40)]
    rows = [document(language, key) for language in LANGUAGES for key in keys] + list(documents)
    aligned = [
        pair(language, key, unit) for language in LANGUAGES[1:] for key in keys for unit in range(5)
    ] + list(pairs)
    return publish_documents(folder, [rows], [aligned], evaluation)


def publish_documents(
    folder: Path,
    documents: Sequence[Sequence[Document]],
    pairs: Sequence[Sequence[Pair]],
    evaluation: Sequence[Document] = (),
) -> DocumentSet:
    """A DocumentSet of given parts."""
    out = folder / "01_documents"
    partial = partial_folder(out)
    for number, rows in enumerate(documents):
        write_table(part_file(partial / "documents/books", number), rows, DOCUMENT_SCHEMA)
    for number, aligned in enumerate(pairs):
        write_table(part_file(partial / "pairs/books", number), aligned, PAIR_SCHEMA)
    if evaluation:
        exam = part_file(partial / "evaluation/documents/exam", 0)
        write_table(exam, evaluation, DOCUMENT_SCHEMA)
    counts = {"documents": {"books": {"eng_Latn": 1}}}
    return publish(DocumentSet, partial, out, inputs={}, params={}, counts=counts)


def republished(documents: DocumentSet) -> DocumentSet:
    """The same folder with the files it has now."""
    partial = documents.path.with_name("with-more")
    documents.path.rename(partial)
    (partial / "manifest.json").unlink()
    counts = documents.counts
    return publish(DocumentSet, partial, documents.path, inputs={}, params={}, counts=counts)


def run_curate(folder: Path, documents: DocumentSet, *, seed: int = 7, **changes: Any) -> ShardSet:
    """Run the stage with other settings than CONFIG's."""
    content = CONFIG | {
        name: {**CONFIG.get(name, {}), **new} if isinstance(new, dict) else new
        for name, new in changes.items()
    }
    run = make_run(folder, languages=LANGUAGES, seed=seed, name="02_shards")
    return curate(CurateConfig.model_validate(content), documents, run)


def drops(shards: ShardSet) -> list[dict[str, Any]]:
    """Every document and pair left out."""
    rows: list[dict[str, Any]] = pq.read_table(shards.path / "drops").to_pylist()
    return rows


def samples(shards: ShardSet) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(shards.path / "samples.parquet").to_pylist()
    return rows


def kept_texts(shards: ShardSet, language: str, split: str = "") -> dict[str, str]:
    folder = shards.path / split / "documents" / language
    return {row.id: row.text for row in read_documents(folder)}


def reason_of(shards: ShardSet, identifier: str) -> tuple[str, str]:
    (row,) = [row for row in drops(shards) if row["id"] == identifier]
    return row["filter"], row["reason"]
