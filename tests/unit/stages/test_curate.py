"""The stage as a whole: from documents and pairs to shards, with every drop accounted for."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from polylm_core.artifacts import DocumentSet, ShardSet, partial_folder, publish
from polylm_core.compute.local import LocalBackend
from polylm_core.errors import StageError, UnknownLanguageError
from polylm_core.records import (
    DOCUMENT_SCHEMA,
    PAIR_SCHEMA,
    Document,
    Pair,
    read_documents,
    read_pairs,
    write_table,
)
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.held_out import comparable, document_key
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
    folder: Path, documents: Iterable[Document] = (), pairs: Iterable[Pair] = ()
) -> DocumentSet:
    """Forty documents a language with their pairs, and what a test adds."""
    keys = [f"chapter/{number}" for number in range(40)]
    rows = [document(language, key) for language in LANGUAGES for key in keys] + list(documents)
    aligned = [
        pair(language, key, unit) for language in LANGUAGES[1:] for key in keys for unit in range(5)
    ] + list(pairs)
    out = folder / "01_documents"
    partial = partial_folder(out)
    for language in LANGUAGES:
        own = [row for row in rows if row.language == language]
        write_table(partial / "documents" / f"{language}.parquet", own, DOCUMENT_SCHEMA)
        both = [row for row in aligned if row.language_b == language]
        if both:
            write_table(partial / "pairs" / f"{language}.parquet", both, PAIR_SCHEMA)
    return publish(DocumentSet, partial, out, inputs={}, params={}, counts={})


def run_curate(
    folder: Path, documents: DocumentSet, *, seed: int = 7, **changes: dict[str, Any]
) -> ShardSet:
    content = {**CONFIG, **{name: {**CONFIG[name], **new} for name, new in changes.items()}}
    run = make_run(folder, languages=LANGUAGES, seed=seed, name="02_shards")
    return curate(CurateConfig.model_validate(content), documents, run)


def drops(shards: ShardSet) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(shards.path / "drops.parquet").to_pylist()
    return rows


def reason_of(shards: ShardSet, identifier: str) -> tuple[str, str]:
    (row,) = [row for row in drops(shards) if row["id"] == identifier]
    return row["filter"], row["reason"]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    folder = tmp_path_factory.mktemp("clean")
    return run_curate(folder, document_set(folder))


def test_good_documents_stay_in_every_language(clean: ShardSet) -> None:
    for language in LANGUAGES:
        counts = clean.counts[language]
        assert counts["documents_in"] == 40
        assert counts["documents_kept"] + counts["documents_held_out"] == 40, language
    assert drops(clean) == []


def test_the_same_documents_are_held_out_in_every_language_with_their_pairs(
    clean: ShardSet,
) -> None:
    held = clean.path / "held_out"
    keys = [
        {document_key(row.id) for row in read_documents(held / f"documents/{language}.parquet")}
        for language in LANGUAGES
    ] + [
        {document_key(row.id) for row in read_pairs(held / f"pairs/{language}.parquet")}
        for language in LANGUAGES[1:]
    ]
    assert all(each == keys[0] for each in keys)
    assert 1 <= len(keys[0]) <= 14
    trained = {
        document_key(row.id) for row in read_documents(clean.path / "documents/tha_Thai.parquet")
    }
    assert not trained & keys[0]


def test_another_seed_holds_out_other_documents(clean: ShardSet, tmp_path: Path) -> None:
    other = run_curate(tmp_path, document_set(tmp_path), seed=8)
    name = "held_out/documents/eng_Latn.parquet"
    assert [row.id for row in read_documents(other.path / name)] != [
        row.id for row in read_documents(clean.path / name)
    ]


def test_a_source_can_have_its_own_share(tmp_path: Path) -> None:
    shards = run_curate(
        tmp_path,
        document_set(tmp_path),
        held_out={"share": 0.01, "share_by_source": {"books": 0.5}},
    )
    assert 10 <= shards.counts["eng_Latn"]["documents_held_out"] <= 30


def test_training_text_that_repeats_held_out_text_is_removed(
    clean: ShardSet, tmp_path: Path
) -> None:
    held = next(read_documents(clean.path / "held_out/documents/deu_Latn.parquet"))
    line, other = held.text.split("\n")[:2]
    long = f"Wie man sagt: {line.upper()}! {other}"
    fresh = sentence("deu_Latn", "fresh")
    key = next(
        document_key(row.id).removeprefix("books/")
        for row in read_documents(clean.path / "documents/deu_Latn.parquet")
    )
    shards = run_curate(
        tmp_path,
        document_set(
            tmp_path,
            [document("deu_Latn", f"{key}/copy", f"{long}\n{fresh}")],
            [pair("deu_Latn", f"{key}/copy", 0, b=f"{line} {other}")],
        ),
        held_out={"share": 0.15},
    )
    kept = {row.id: row.text for row in read_documents(shards.path / "documents/deu_Latn.parquet")}
    assert kept[f"books/deu_Latn/{key}/copy"] == fresh
    assert reason_of(shards, f"books/deu_Latn/{key}/copy:1") == ("decontaminate", "contaminated")
    assert reason_of(shards, f"books/eng_Latn-deu_Latn/{key}/copy#1") == (
        "decontaminate",
        "contaminated",
    )


def test_no_training_line_equals_a_held_out_line(tmp_path: Path) -> None:
    short = [
        document("eng_Latn", f"short/{i}", f"See also\n{sentence('eng_Latn', str(i))}")
        for i in range(30)
    ]
    shards = run_curate(tmp_path, document_set(tmp_path, short))
    lines = [
        {
            comparable(line)
            for row in read_documents(shards.path / folder / "eng_Latn.parquet")
            for line in row.text.split("\n")
        }
        for folder in ("documents", "held_out/documents")
    ]
    assert "see also" in lines[1]
    assert not lines[0] & lines[1]


def test_every_drop_has_its_filter_and_reason(tmp_path: Path) -> None:
    base = document("eng_Latn", "chapter/1").text
    extra = [
        document("deu_Latn", "english", base + "\n" + base.replace("house", "boat")),
        document("eng_Latn", "tiny", "Too short."),
        document("eng_Latn", "z-exact", base),
        document("eng_Latn", "z-near", base + " again"),
        document("tha_Thai", "blank", "\u200b\n \n"),
    ]
    pairs = [
        pair("deu_Latn", "bad", 0, a="Downloads", b="downloads"),
        pair("deu_Latn", "bad", 1, b="Haus"),
        pair("deu_Latn", "bad", 2, b="บ้านและสวนของพี่สาวมักจะว่างเมื่อเด็กไม่เล่นแต่ไม่มีใครหา"),
        pair("deu_Latn", "bad", 3, a="12 %", b="12 Prozent"),
        pair("deu_Latn", "chapter/1", 4),
    ]
    shards = run_curate(tmp_path, document_set(tmp_path, extra, pairs))
    seen = {row["id"]: (row["kind"], row["filter"], row["reason"]) for row in drops(shards)}
    assert seen["books/deu_Latn/english"] == ("documents", "identify", "other-language")
    assert seen["books/eng_Latn/tiny"] == ("documents", "rules", "too-short")
    assert seen["books/eng_Latn/z-exact"] == ("documents", "exact-duplicates", "duplicate")
    assert seen["books/eng_Latn/z-near"] == ("documents", "near-duplicates", "near-duplicate")
    assert seen["books/tha_Thai/blank"] == ("documents", "normalise", "empty")
    prefix = "books/eng_Latn-deu_Latn/bad"
    assert seen[f"{prefix}#1"] == ("pairs", "normalise", "copy-of-english")
    assert seen[f"{prefix}#2"] == ("pairs", "rules", "length-ratio")
    assert seen[f"{prefix}#3"] == ("pairs", "identify", "other-language-b")
    assert seen[f"{prefix}#4"] == ("pairs", "normalise", "no-letters")


def test_attrition_and_counts_add_up(tmp_path: Path) -> None:
    base = document("eng_Latn", "chapter/1").text
    extra = [document("eng_Latn", f"copy/{i}", base) for i in range(3)]
    shards = run_curate(tmp_path, document_set(tmp_path, extra))
    rows = pq.read_table(shards.path / "attrition.parquet").to_pylist()
    summed = Counter(
        {(r["language"], r["kind"], r["filter"], r["reason"]): r["items"] for r in rows}
    )
    counted = Counter((r["language"], r["kind"], r["filter"], r["reason"]) for r in drops(shards))
    assert summed == counted
    size = len(base.encode())
    (duplicates,) = [row for row in rows if row["filter"] == "exact-duplicates"]
    assert (duplicates["items"], duplicates["bytes"]) == (3, 3 * size)
    counts = shards.counts["eng_Latn"]
    assert counts["documents_in"] == 43
    assert counts["documents_kept"] + counts["documents_held_out"] == 40


def test_processes_and_the_order_of_documents_do_not_change_the_result(
    clean: ShardSet, tmp_path: Path
) -> None:
    backend = LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1)
    run = make_run(tmp_path, languages=LANGUAGES, name="02_shards")
    config = CurateConfig.model_validate(CONFIG)
    made = curate(config, document_set(tmp_path), replace(run, backend=backend))
    assert made.fingerprint == clean.fingerprint
    assert not (run.work / "curate").exists()


def test_the_shards_verify(clean: ShardSet) -> None:
    assert ShardSet.load(clean.path).fingerprint == clean.fingerprint
    assert set(clean.manifest.inputs) == {"ingest"}


def test_a_language_without_documents_is_named_with_the_filter(tmp_path: Path) -> None:
    documents = document_set(tmp_path)
    with pytest.raises(
        StageError, match=r"eng_Latn has no document left after filter 'rules' \(too"
    ):
        run_curate(tmp_path, documents, rules={"default": {"min_words": 1000}})
    assert not (tmp_path / "02_shards").exists()


def test_too_little_held_out_text_is_an_error_that_says_what_to_raise(tmp_path: Path) -> None:
    documents = document_set(tmp_path)
    with pytest.raises(
        StageError, match=r"eng_Latn has [\d,]+ bytes .* raise curate.held_out.share"
    ):
        run_curate(tmp_path, documents, held_out={"share": 0.15, "min_bytes": 100_000})


def test_a_recipe_language_that_was_not_ingested_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, languages=("eng_Latn", "jpn_Jpan"), name="02_shards")
    with pytest.raises(StageError, match="jpn_Jpan has no document"):
        curate(CurateConfig.model_validate(CONFIG), document_set(tmp_path), run)


def test_an_unknown_language_in_the_params_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownLanguageError, match="unknown language 'tha'"):
        run_curate(tmp_path, document_set(tmp_path), rules={"by_language": {"tha": {}}})
