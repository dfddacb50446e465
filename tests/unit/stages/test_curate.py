"""The stage as a whole: from documents and pairs to shards, with every drop accounted for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from polylm_core.artifacts import ShardSet
from polylm_core.compute.local import LocalBackend
from polylm_core.errors import StageError, UnknownLanguageError
from polylm_core.records import (
    read_documents,
    read_pairs,
)
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.held_out import document_key
from polylm_core.stages.curate.stage import curate
from tests.support import make_run
from tests.unit.stages.curate_stage import (
    CONFIG,
    LANGUAGES,
    document,
    document_set,
    drops,
    kept_texts,
    pair,
    publish_documents,
    reason_of,
    run_curate,
    samples,
    sentence,
)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    folder = tmp_path_factory.mktemp("clean")
    return run_curate(folder, document_set(folder))


def test_good_documents_stay_in_every_language(clean: ShardSet) -> None:
    for language in LANGUAGES:
        counts = clean.counts[language]
        assert counts["documents_in"] == 40
        assert counts["documents_kept"] + counts["documents_held_out"] == 40, language
    for language in LANGUAGES[1:]:
        counts = clean.counts[language]
        assert counts["pairs_in"] == 200
        assert counts["pairs_kept"] + counts["pairs_held_out"] == 200, language
    assert drops(clean) == []


def test_the_same_documents_are_held_out_in_every_language_with_their_pairs(
    clean: ShardSet,
) -> None:
    held = clean.path / "held_out"
    keys = [
        {document_key(row.id) for row in read_documents(held / f"documents/{language}")}
        for language in LANGUAGES
    ] + [
        {document_key(row.id) for row in read_pairs(held / f"pairs/{language}")}
        for language in LANGUAGES[1:]
    ]
    assert all(each == keys[0] for each in keys)
    assert 1 <= len(keys[0]) <= 14
    trained = {document_key(row.id) for row in read_documents(clean.path / "documents/tha_Thai")}
    assert not trained & keys[0]


def test_another_seed_holds_out_other_documents(clean: ShardSet, tmp_path: Path) -> None:
    other = run_curate(tmp_path, document_set(tmp_path), seed=8)
    name = "held_out/documents/eng_Latn"
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
    held = next(read_documents(clean.path / "held_out/documents/deu_Latn"))
    line, other = held.text.split("\n")[:2]
    long = f"Wie man sagt: {line.upper()}! {other}"
    fresh = sentence("deu_Latn", "fresh")
    key = next(
        document_key(row.id).removeprefix("books/")
        for row in read_documents(clean.path / "documents/deu_Latn")
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
    assert kept_texts(shards, "deu_Latn")[f"books/deu_Latn/{key}/copy"] == fresh
    lines = [row for row in samples(shards) if row["filter"] == "decontaminate"]
    assert [row["text"] for row in lines if row["kind"] == "lines"] == [long]
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
    trained, held = (
        {
            line.lower()
            for text in kept_texts(shards, "eng_Latn", split).values()
            for line in text.split("\n")
        }
        for split in ("", "held_out")
    )
    assert "see also" in held
    assert not trained & held


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
    copies = [
        seen.get(f"books/eng_Latn/{key}", ("", "kept", ""))[1]
        for key in ("chapter/1", "z-exact", "z-near")
    ]
    assert sorted(copies) == ["exact-duplicates", "kept", "near-duplicates"]
    assert seen["books/tha_Thai/blank"] == ("documents", "repair", "empty")
    prefix = "books/eng_Latn-deu_Latn/bad"
    assert seen[f"{prefix}#1"] == ("pairs", "repair", "copy-of-english")
    assert seen[f"{prefix}#2"] == ("pairs", "rules", "length-ratio")
    assert seen[f"{prefix}#3"] == ("pairs", "identify", "other-language-b")
    assert seen[f"{prefix}#4"] == ("pairs", "repair", "no-letters")


def test_attrition_counts_and_passages_add_up(tmp_path: Path) -> None:
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
    passages = [
        row
        for row in pq.read_table(shards.path / "filters.parquet").to_pylist()
        if (row["language"], row["kind"]) == ("eng_Latn", "documents")
    ]
    near = next(row for row in passages if row["filter"] == "near-duplicates")
    assert (near["items_in"], near["items_out"]) == (40, 40)
    exact = next(row for row in passages if row["filter"] == "exact-duplicates")
    assert exact["bytes_in"] - exact["bytes_out"] == 3 * size


def test_the_one_that_stays_knows_how_many_it_stands_for(tmp_path: Path) -> None:
    base = document("eng_Latn", "chapter/1").text
    extra = [document("eng_Latn", f"copy/{i}", base) for i in range(3)]
    extra.append(document("eng_Latn", "near", f"{base} again"))
    shards = run_curate(tmp_path, document_set(tmp_path, extra))
    copies = [
        row.copies
        for split in ("", "held_out")
        for row in read_documents(shards.path / split / "documents/eng_Latn")
    ]
    assert sorted(copies)[-2:] == [1, 5]


def test_twenty_kept_and_twenty_dropped_are_shown_of_each_filter(tmp_path: Path) -> None:
    tiny = [
        document("eng_Latn", f"tiny/{i}", " ".join(sentence("eng_Latn", str(i)).split()[:8]))
        for i in range(30)
    ]
    shards = run_curate(tmp_path, document_set(tmp_path, tiny))
    shown = Counter(
        (row["verdict"], row["reason"])
        for row in samples(shards)
        if (row["language"], row["filter"]) == ("eng_Latn", "rules")
    )
    assert shown == {("kept", ""): 20, ("dropped", "too-short"): 20}


def test_neither_processes_nor_the_order_nor_the_cut_of_the_input_change_the_result(
    clean: ShardSet, tmp_path: Path
) -> None:
    whole = document_set(tmp_path)
    rows = list(read_documents(whole.path / "documents/books"))[::-1]
    aligned = list(read_pairs(whole.path / "pairs/books"))[::-1]
    parts = publish_documents(
        tmp_path / "parts", [rows[:17], rows[17:60], rows[60:]], [aligned[:3], aligned[3:]]
    )
    backend = LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1)
    run = make_run(tmp_path, languages=LANGUAGES, name="02_shards")
    config = CurateConfig.model_validate(CONFIG)
    made = curate(config, parts, replace(run, backend=backend))
    assert made.manifest.files == clean.manifest.files
    assert made.counts == clean.counts
    assert not (run.work / "curate").exists()


def test_the_shards_verify(clean: ShardSet) -> None:
    assert ShardSet.load(clean.path).fingerprint == clean.fingerprint
    assert set(clean.manifest.inputs) == {"ingest"}


def test_a_language_without_documents_is_named_with_the_filter(tmp_path: Path) -> None:
    documents = document_set(tmp_path)
    with pytest.raises(
        StageError, match=r"eng_Latn has no document .* filter 'rules': too-short 40"
    ):
        run_curate(tmp_path, documents, rules={"default": {"min_words": 1000}})
    assert not (tmp_path / "02_shards").exists()


def test_too_little_held_out_text_is_an_error_that_says_what_to_raise(tmp_path: Path) -> None:
    documents = document_set(tmp_path)
    with pytest.raises(StageError, match=r"eng_Latn has [\d,]+ bytes .* hold out more of a source"):
        run_curate(tmp_path, documents, held_out={"share": 0.15, "min_bytes": 100_000})


def test_too_few_held_out_pairs_are_an_error_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(
        StageError, match=r"deu_Latn has \d+ held-out pairs .* asks for 500"
    ) as told:
        run_curate(tmp_path, document_set(tmp_path), held_out={"share": 0.15, "min_pairs": 500})
    assert "eng_Latn has" not in str(told.value), "English has no pairs with itself"


def test_a_recipe_language_that_was_not_ingested_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, languages=("eng_Latn", "jpn_Jpan"), name="02_shards")
    with pytest.raises(StageError, match="jpn_Jpan has no document"):
        curate(CurateConfig.model_validate(CONFIG), document_set(tmp_path), run)


def test_an_unknown_language_in_the_params_is_named(tmp_path: Path) -> None:
    cousins = {"cousins": {"tha": ["lao_Laoo"]}}
    with pytest.raises(UnknownLanguageError, match="unknown language 'tha'"):
        run_curate(tmp_path, document_set(tmp_path), identify=cousins)
    with pytest.raises(ValidationError, match="tha is no language of the registry"):
        run_curate(tmp_path, document_set(tmp_path), rules={"by_language": {"tha": {}}})
