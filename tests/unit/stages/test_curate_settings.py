"""What the settings of the stage do: opt-outs, limits, evaluation sets, lines, models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from polylm_core.errors import StageError
from polylm_core.records import (
    DOCUMENT_SCHEMA,
    Document,
    read_documents,
    read_pairs,
    write_table,
)
from tests.unit.stages.curate_stage import (
    LANGUAGES,
    document,
    document_set,
    drops,
    kept_texts,
    pair,
    publish_documents,
    reason_of,
    republished,
    run_curate,
    samples,
    sentence,
)


def test_a_filter_that_takes_too_much_of_a_language_fails_the_stage(tmp_path: Path) -> None:
    tiny = [document("tha_Thai", f"tiny/{i}", "สั้น") for i in range(30)]
    limits = {"rules": 0.4, "near-duplicates": 0.1}
    with pytest.raises(
        StageError, match=r"tha_Thai: filter 'rules' took 42\.9% of 70 documents \(too-short 30\)"
    ):
        run_curate(tmp_path, document_set(tmp_path, tiny), max_drop_share=limits)
    run_curate(tmp_path, document_set(tmp_path, tiny), max_drop_share={"rules": 0.5})


def test_who_opted_out_is_left_out(tmp_path: Path) -> None:
    urls = {"a": "https://www.example.org/x", "b": "http://notexample.org/", "c": "http://[none/"}
    rows = [
        replace(document("eng_Latn", f"page {key}"), id=f"books/eng_Latn/{key}", url=url)
        for key, url in urls.items()
    ]
    shards = run_curate(
        tmp_path,
        document_set(tmp_path, rows),
        opt_out={"ids": ["books/deu_Latn/chapter/1"], "domains": ["Example.ORG"]},
    )
    assert reason_of(shards, "books/eng_Latn/a") == ("opt-out", "domain")
    assert reason_of(shards, "books/deu_Latn/chapter/1") == ("opt-out", "id")
    kept = kept_texts(shards, "eng_Latn") | kept_texts(shards, "eng_Latn", "held_out")
    assert {"books/eng_Latn/b", "books/eng_Latn/c"} <= kept.keys()


def test_the_pairs_of_who_opted_out_are_left_out_with_them(tmp_path: Path) -> None:
    shards = run_curate(
        tmp_path, document_set(tmp_path), opt_out={"ids": ["books/deu_Latn/chapter/1"]}
    )
    found = {row["id"] for row in drops(shards) if row["filter"] == "opt-out"}
    pairs = {f"books/eng_Latn-deu_Latn/chapter/1#{number}" for number in range(1, 6)}
    assert found == {"books/deu_Latn/chapter/1", *pairs}


def test_pages_in_languages_outside_the_recipe_do_not_fail_a_crawl(tmp_path: Path) -> None:
    french = "Tous les êtres humains naissent libres et égaux en dignité et en droits. "
    pages = [Document(f"crawl/und/{n}", f"{french * 2}{n}", "", "crawl", "MIT") for n in range(80)]
    limits = {"identify": 0.3}
    shards = run_curate(tmp_path, document_set(tmp_path, pages), max_drop_share=limits)
    assert sum(row["reason"] == "outside-recipe" for row in drops(shards)) == 80


def test_pairs_in_languages_outside_the_recipe_are_judged(tmp_path: Path) -> None:
    same = [
        pair("fra_Latn", f"x/{n}", 0, a=f"Same text {n}", b=f"Same text {n}") for n in range(60)
    ]
    with pytest.raises(StageError, match=r"fra_Latn: filter 'repair' took 100\.0% of 60 pairs"):
        run_curate(tmp_path, document_set(tmp_path, pairs=same), max_drop_share={"repair": 0.3})


def test_documents_without_a_claim_are_identified(tmp_path: Path) -> None:
    german = "\n".join(sentence("deu_Latn", f"crawl {i}") for i in range(4))
    french = "Tous les êtres humains naissent libres et égaux en dignité et en droits. " * 3
    rows = [
        Document("crawl/und/1", german, "", "crawl", "MIT"),
        Document("crawl/und/2", french, "", "crawl", "MIT"),
        Document("crawl/und/3", "1 2 3 4 5 6 7 8 9", "", "crawl", "MIT"),
    ]
    shards = run_curate(tmp_path, document_set(tmp_path, rows))
    kept = kept_texts(shards, "deu_Latn") | kept_texts(shards, "deu_Latn", "held_out")
    assert kept["crawl/und/1"] == german
    assert reason_of(shards, "crawl/und/2") == ("identify", "outside-recipe")
    assert reason_of(shards, "crawl/und/3")[0] == "identify"


@pytest.mark.parametrize("claim", ["deu_Latn", ""])
def test_an_evaluation_set_is_never_trained_on(tmp_path: Path, claim: str) -> None:
    secret = sentence("deu_Latn", "exam question") + " " + sentence("deu_Latn", "exam answer")
    fresh = sentence("deu_Latn", "fresh text")
    leaks = [
        document("deu_Latn", f"leak/{i}", f"{sentence('deu_Latn', str(i))}\n{secret}\n{fresh} {i}")
        for i in range(10)
    ]
    exam = [Document("exam/deu_Latn/1", secret, claim, "exam", "MIT")]
    shards = run_curate(tmp_path, document_set(tmp_path, leaks, evaluation=exam))
    assert not any(secret in text for text in kept_texts(shards, "deu_Latn").values())
    assert "exam/deu_Latn/1" not in kept_texts(shards, "deu_Latn")


def test_lines_of_many_documents_stay_in_one(tmp_path: Path) -> None:
    footer = "Alle Rechte vorbehalten, auch die der Übersetzung und des Nachdrucks"
    rows = [
        document("deu_Latn", f"page/{i}", f"{sentence('deu_Latn', f'page {i}')}\n{footer}")
        for i in range(20)
    ]
    shards = run_curate(tmp_path, document_set(tmp_path, rows), repeated_lines={"max_documents": 5})
    texts = [*kept_texts(shards, "deu_Latn").values()]
    texts += kept_texts(shards, "deu_Latn", "held_out").values()
    assert sum(footer in text for text in texts) <= 1
    assert len([text for text in texts if "\n" not in text]) >= 19


def test_foreign_lines_are_taken_out_of_their_documents(tmp_path: Path) -> None:
    russian = "Все люди рождаются свободными и равными в своём достоинстве и правах повсюду."
    english = "\n".join(sentence("eng_Latn", f"mixed {i}") for i in range(6))
    rows = [document("eng_Latn", f"mixed/{i}", f"{english} {i}\n{russian}") for i in range(5)]
    shards = run_curate(
        tmp_path,
        document_set(tmp_path, rows),
        identify={"foreign_lines": {"min_letters": 40, "min_confidence": 0.8}},
        near_duplicates={"min_jaccard": 1.0},
    )
    texts = [
        *kept_texts(shards, "eng_Latn").values(),
        *kept_texts(shards, "eng_Latn", "held_out").values(),
    ]
    assert not any(russian in text for text in texts)
    lines = [row for row in samples(shards) if row["filter"] == "foreign-lines"]
    assert {row["text"] for row in lines if row["kind"] == "lines"} == {russian}


def test_personal_data_is_masked_and_counted(tmp_path: Path) -> None:
    rows = [
        document(
            "eng_Latn",
            f"contact/{i}",
            f"{sentence('eng_Latn', f'contact {i}')} write to jane.doe{i}@example.org or 8.8.4.{i}",
        )
        for i in range(40, 45)
    ]
    shards = run_curate(tmp_path, document_set(tmp_path, rows))
    texts = kept_texts(shards, "eng_Latn") | kept_texts(shards, "eng_Latn", "held_out")
    mine = [text for key, text in texts.items() if "/contact/" in key]
    assert len(mine) == 5
    assert all(text.endswith("write to <EMAIL> or <IP_ADDRESS>") for text in mine)
    assert shards.counts["eng_Latn"]["masked_email"] == 5
    plain = run_curate(tmp_path, document_set(tmp_path, rows), mask_personal_data=False)
    kept = kept_texts(plain, "eng_Latn") | kept_texts(plain, "eng_Latn", "held_out")
    assert "jane.doe40@example.org" in kept["books/eng_Latn/contact/40"]


@pytest.mark.parametrize(
    "model",
    [
        {"kind": "perplexity", "trusted": ["books"], "drop_share": 0.5, "order": 2},
        {"kind": "classifier", "trusted": ["books"], "drop_share": 0.5, "max_features": 4096},
    ],
)
def test_the_worst_share_by_a_model_trained_on_trusted_text_is_cut(
    tmp_path: Path, model: dict[str, object]
) -> None:
    good = [sentence("eng_Latn", f"more {i}") + " and then they play" for i in range(20)]
    junk = [
        f"buy cheap offer now {i} best price discount shop online free shipping order and save"
        for i in range(20)
    ]
    rows = [
        Document(f"crawl/eng_Latn/{kind}{i}", text, "eng_Latn", "crawl", "MIT")
        for kind, texts in (("good", good), ("junk", junk))
        for i, text in enumerate(texts)
    ]
    whole = document_set(tmp_path)
    books = list(read_documents(whole.path / "documents/books"))
    parts = publish_documents(
        tmp_path / "parts", [books], [list(read_pairs(whole.path / "pairs/books"))]
    )
    crawl = parts.path / "documents/crawl/00000.parquet"
    write_table(crawl, rows, DOCUMENT_SCHEMA)
    documents = republished(parts)
    shards = run_curate(
        tmp_path,
        documents,
        quality={"by_language": {"eng_Latn": model}},
        near_duplicates={"min_jaccard": 1.0},
    )
    cut = {row["id"] for row in drops(shards) if row["filter"] == "quality"}
    assert cut == {f"crawl/eng_Latn/junk{i}" for i in range(20)}


def test_a_document_in_no_known_language_is_left_out_and_nothing_else_happens(
    tmp_path: Path,
) -> None:
    latin = "Gallia est omnis divisa in partes tres, quarum unam incolunt Belgae, aliam Aquitani."
    rows = [Document("crawl/und/1", latin, "", "crawl", "MIT")]
    shards = run_curate(tmp_path, document_set(tmp_path, rows))
    assert reason_of(shards, "crawl/und/1") == ("identify", "outside-recipe")
    written = {path.name for path in (shards.path / "documents").iterdir()}
    assert written == set(LANGUAGES)


def test_a_document_is_not_lost_to_a_copy_that_a_model_dropped(tmp_path: Path) -> None:
    pages = [f"{sentence('eng_Latn', f'page {i}')}\n" * 1 for i in range(20)]
    base = "\n".join(sentence("eng_Latn", f"twin {i}") for i in range(8))
    rows = [document("eng_Latn", f"twin/{i}", f"{base} {'cheap offer ' * i}") for i in range(6)]
    rows += [document("eng_Latn", f"page/{i}", text) for i, text in enumerate(pages)]
    model = {"kind": "perplexity", "trusted": ["other"], "drop_share": 0.1, "order": 2}
    trusted = [
        Document(f"other/eng_Latn/{i}", text, "eng_Latn", "other", "MIT")
        for i, text in enumerate([base, *pages])
    ]
    whole = document_set(tmp_path, rows)
    write_table(whole.path / "documents/other/00000.parquet", trusted, DOCUMENT_SCHEMA)
    shards = run_curate(tmp_path, republished(whole), quality={"by_language": {"eng_Latn": model}})
    kept = {**kept_texts(shards, "eng_Latn"), **kept_texts(shards, "eng_Latn", "held_out")}
    cut = {row["id"] for row in drops(shards) if row["filter"] == "quality"}
    assert cut
    assert any(base in text for text in kept.values())


def test_leaks_are_found_in_long_lines_without_spaces_and_behind_masks(tmp_path: Path) -> None:
    thai = "".join(sentence("tha_Thai", f"exam {i}") for i in range(30))
    mail = f"{sentence('eng_Latn', 'mail')} write to bob@example.org {sentence('eng_Latn', 'more')}"
    exam = [
        Document("exam/tha_Thai/1", thai, "tha_Thai", "exam", "MIT"),
        Document("exam/eng_Latn/1", mail, "eng_Latn", "exam", "MIT"),
    ]
    leaks = [
        document("tha_Thai", "leak", f"{sentence('tha_Thai', 'own')}\n{thai}"),
        document("eng_Latn", "leak", f"{sentence('eng_Latn', 'own')}\n{mail}"),
    ]
    shards = run_curate(
        tmp_path,
        document_set(tmp_path, leaks, evaluation=exam),
        max_word_characters=400,
        held_out={"share": 0.1},
    )
    texts = [
        *kept_texts(shards, "tha_Thai").values(),
        *kept_texts(shards, "eng_Latn").values(),
    ]
    assert not any(thai in text or "<EMAIL>" in text for text in texts)


def test_two_texts_of_one_id_come_out_alike_in_any_order(tmp_path: Path) -> None:
    rows = [document("eng_Latn", "same", sentence("eng_Latn", str(i))) for i in range(2)]
    first = run_curate(tmp_path / "a", document_set(tmp_path / "a", rows))
    second = run_curate(tmp_path / "b", document_set(tmp_path / "b", rows[::-1]))
    assert first.manifest.files == second.manifest.files


def test_a_filter_of_lines_is_judged_by_what_it_takes(tmp_path: Path) -> None:
    footer = "Alle Rechte vorbehalten, auch die der Übersetzung und des Nachdrucks " * 6
    rows = [
        document("deu_Latn", f"page/{i}", f"{sentence('deu_Latn', f'page {i}')}\n{footer}")
        for i in range(40)
    ]
    loose = {"min_words": 3, "max_duplicate_ngram_share": {}, "max_top_ngram_share": {}}
    with pytest.raises(StageError, match="deu_Latn: filter 'repeated-lines' took"):
        run_curate(
            tmp_path,
            document_set(tmp_path, rows),
            repeated_lines={"max_documents": 5},
            max_drop_share={"repeated-lines": 0.2},
            near_duplicates={"min_jaccard": 1.0},
            rules={"default": loose},
        )
