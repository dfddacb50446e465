"""MTG in its declared form: prompts, ROUGE of any script, and the papers' figures beside ours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer

from polylm_core.errors import SourceError
from polylm_core.languages import POLYLM_LANGUAGES
from polylm_core.stages.evaluate.benchmarks.catalogue_generation import DRIVE
from polylm_core.stages.evaluate.benchmarks.rouge import score_text
from polylm_core.stages.evaluate.benchmarks.suite import find_benchmarks
from polylm_core.stages.evaluate.config import BenchmarksConfig
from polylm_core.stages.report.material import read_material
from polylm_core.stages.report.rivals import beside_published
from tests.support import make_run
from tests.unit.stages.report_inputs import make_inputs
from tests.unit.stages.test_evaluate_sets import ask, values, write

ITEMS = (
    {"source": "Der Zug kam spät. Alle warteten.", "target": "Zug kam\nzu spät"},
    {"source": "Es regnete den ganzen Tag.", "target": "Ein Tag voll Regen"},
)
STEM = "Write the title of this article in German."


def lines(*rows: dict[str, str]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def rouge(language: str, target: str, written: str) -> float:
    return score_text({"language": language, "target": target}, [written])["rouge"]


def test_english_is_scored_as_by_rouge_score_itself() -> None:
    target, written = "The train was late again today.", "Today the train came late."
    kinds = ["rouge1", "rouge2", "rougeL"]
    theirs = RougeScorer(kinds).score(target, written)
    expected = sum(theirs[kind].fmeasure for kind in kinds) / 3
    assert rouge("eng_Latn", target, written) == pytest.approx(expected)


def test_letters_beyond_a_to_z_are_in_words_and_chinese_ones_are_words() -> None:
    assert rouge("deu_Latn", "schön spät", "schön spät") == 1
    assert rouge("deu_Latn", "schön", "sch n") == 0, "rouge-score alone sees the same there"
    # Of 4 letters and 4, 3 are shared, 2 of 3 pairs, and 3 stand in one order.
    assert rouge("zho_Hans", "火车晚点", "火车晚了") == pytest.approx((3 / 4 + 2 / 3 + 3 / 4) / 3)


def test_the_base_model_is_shown_another_item_and_begins_below_the_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "deu_Latn.jsonl", lines(*ITEMS))
    found = ask(tmp_path, "mtg_title", "deu_Latn", monkeypatch, "Ein Tag voll Regen")
    first, second = ITEMS
    prompts = {row.item: row.prompts[0] for row in found.predictions}
    example = f"{STEM}\n{second['source']}\nEin Tag voll Regen\n\n"
    assert prompts[0] == f"{example}{STEM}\n{first['source']}\n"
    assert prompts[1].startswith(f"{STEM}\n{first['source']}\nZug kam zu spät\n\n")
    assert values(found, "deu_Latn") == {"rouge": (0.5, 2)}


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ("mtg_story", "Write the end of this story in German."),
        ("mtg_title", STEM),
        ("mtg_question", "Write the question to this passage and its answer in German."),
        ("mtg_summary", "Summarize this text in German."),
    ],
)
def test_a_chat_model_is_asked_in_the_sentence_of_the_task_and_shown_no_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, sentence: str
) -> None:
    write(tmp_path / "deu_Latn.jsonl", lines(*ITEMS))
    found = ask(tmp_path, task, "deu_Latn", monkeypatch, "Ein Tag voll Regen", model="chat")
    for row, item in zip(found.predictions, ITEMS, strict=True):
        assert row.prompts == (f"{sentence}\n{item['source']}",)
    assert values(found, "deu_Latn") == {"rouge": (0.5, 2)}


def test_a_file_of_one_item_has_no_example_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "deu_Latn.jsonl", lines(ITEMS[0]))
    with pytest.raises(SourceError, match=r"has 1 items of deu_Latn, .* shown 1 others"):
        ask(tmp_path, "mtg_title", "deu_Latn", monkeypatch)
    ask(tmp_path, "mtg_title", "deu_Latn", monkeypatch, model="chat")


def test_an_item_without_a_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "deu_Latn.jsonl", lines(ITEMS[0], {"source": "x", "target": " "}))
    with pytest.raises(SourceError, match=r"deu_Latn\.jsonl.*item 2 has no text in `target`"):
        ask(tmp_path, "mtg_title", "deu_Latn", monkeypatch)


def test_a_set_that_is_not_there_says_where_it_is_and_in_what_form_it_is_read(
    tmp_path: Path,
) -> None:
    declared = BenchmarksConfig.model_validate({"sets": {"mtg_question": {}}})
    run = make_run(tmp_path, languages=("eng_Latn", "zho_Hans"))
    with pytest.raises(SourceError) as told:
        find_benchmarks(declared, run)
    for part in (DRIVE, "zho_Hans.jsonl", "the passage, and its answer", "mtg_question"):
        assert part in str(told.value)


def test_ours_stands_beside_the_papers(tmp_path: Path) -> None:
    material = read_material(make_inputs(tmp_path), POLYLM_LANGUAGES)
    score = {"model": "base", "suite": "mtg_title", "metric": "rouge", "language": "zho_Hans"}
    score |= {"value": 0.1, "low": 0.05, "high": 0.15, "items": 200, "baseline": None}
    beside = beside_published(replace(material, scores=[score]))
    assert beside is not None
    cells = dict(zip(beside.table.head, beside.table.rows[0], strict=True))
    assert cells["This run, base model"].startswith("10.0 % (5.0 to 15.0")
    assert cells["PolyLM-13B"] == "16.8 %", "arXiv 2307.06018, Table 23"
