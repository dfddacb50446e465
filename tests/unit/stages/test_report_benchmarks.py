"""Scores of published sets, of a judge and of contamination find their tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from polylm_core.languages import POLYLM_LANGUAGES
from polylm_core.published import published_for
from polylm_core.stages.report.material import Material, read_material
from polylm_core.stages.report.rivals import beside_published, orientation
from polylm_core.stages.report.score_tables import (
    benchmarks,
    confusion_rates,
    contamination,
    rated,
)
from polylm_core.stages.report.stage import page_of
from tests.unit.stages.report_inputs import CONFIG, make_inputs

NONE = {"low": None, "high": None, "baseline": None, "items": 500}


def row(suite: str, metric: str, language: str, value: float, **more: Any) -> dict[str, Any]:
    score = {"suite": suite, "metric": metric, "language": language, "value": value}
    return {"model": "base", **NONE, **score, **more}


XCOPA = [
    row("xcopa", "acc", code, value, low=value - 0.05, high=value + 0.05, baseline=0.5)
    for code, value in (("ind_Latn", 0.52), ("vie_Latn", 0.58))
]
FURTHER = [
    row("judge", "rating", "", 3.25, model="chat"),
    row("judge", "rating_coding", "", 2.0, model="chat"),
    row("contamination", "xcopa_share", "vie_Latn", 0.012),
    row("language_confusion", "line_pass_rate_answers", "", 0.75, low=0.6, high=0.85),
    row("language_confusion", "line_pass_rate_answers", "vie_Latn", 0.5, low=0.2, high=0.8),
    row("ours_alone", "acc", "deu_Latn", 0.25),
]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return read_material(make_inputs(tmp_path_factory.mktemp("inputs")), POLYLM_LANGUAGES)


@pytest.fixture
def scored(material: Material) -> Material:
    return replace(material, scores=[*material.scores, *XCOPA, *FURTHER])


def test_a_set_is_told_above_or_not_above_chance(scored: Material) -> None:
    table = benchmarks(scored)
    assert table is not None
    by_language = {cells[1]: cells for cells in table.rows if cells[0] == "xcopa"}
    assert by_language["Indonesian"][4] == "52.0 %"
    assert by_language["Indonesian"][7] == "not above chance"
    assert by_language["Vietnamese"][7] == "above chance"


def test_ours_stands_in_one_row_with_what_the_papers_have(scored: Material) -> None:
    beside = beside_published(scored)
    assert beside is not None
    assert {cells[0] for cells in beside.table.rows} == {"xcopa"}, "what no paper has is left out"
    cells = dict(zip(beside.table.head, beside.table.rows[0], strict=True))
    assert cells["This run, base model"] == "52.0 % (47.0 to 57.0)"
    for published in published_for("xcopa", "ind_Latn"):
        assert cells[published.model] == f"{published.value:.1f} %"
        assert f"{published.model}: {published.source}" in beside.sources


def test_each_direction_of_a_translation_set_stands_beside_its_own(material: Material) -> None:
    scores = [
        row(f"wmt20_{direction}", "bleu", language, 1.0)
        for direction in ("from_english", "into_english")
        for language in ("deu_Latn", "")
    ]
    beside = beside_published(replace(material, scores=scores))
    assert beside is not None
    figures = [
        dict(zip(beside.table.head, cells, strict=True))["PolyLM-13B"]
        for cells in beside.table.rows
    ]
    assert figures == ["24.8", "19.7", "33.9", "24.6"], "arXiv 2307.06018, Table 24"


def test_japanese_bleu_of_characters_stands_beside_no_other(material: Material) -> None:
    scores = [
        row(f"wmt20_{direction}", "bleu", language, 1.0)
        for direction in ("from_english", "into_english")
        for language in ("deu_Latn", "jpn_Jpan", "")
    ]
    beside = beside_published(replace(material, scores=scores))
    assert beside is not None
    shown = [cells[:2] for cells in beside.table.rows]
    assert ("wmt20_from_english", "German") in shown
    assert ("wmt20_into_english", "Japanese") in shown
    assert ("wmt20_from_english", "Japanese") not in shown
    assert ("wmt20_from_english", "all languages") not in shown, "a mean with it"


def test_means_over_some_languages_are_there_for_orientation() -> None:
    found = {
        cells[3]: cells[4]
        for cells in orientation().rows
        if cells[:2] == ("xnli", "PolyLM-13B (base)")
    }
    assert found == {"languages of PolyLM": "46.1 %", "other languages": "34.6 %"}


def test_without_a_published_set_only_orientation_is_left(material: Material) -> None:
    assert beside_published(material) is None
    models = {cells[1] for cells in orientation().rows}
    assert {"PolyLM-13B (base)", "LLaMA-13B (base)"} <= models
    page = page_of(CONFIG, material, POLYLM_LANGUAGES)
    assert "None of these is this model, and none was run here." in page
    assert "Beside the papers" not in page


def test_a_judge_and_contamination_have_tables_of_their_own(
    scored: Material, material: Material
) -> None:
    ratings, found = rated(scored), contamination(scored)
    assert ratings is not None
    assert [cells[1:3] for cells in ratings.rows] == [("rating", "3.25"), ("rating coding", "2.00")]
    assert found is not None
    assert found.rows == [("xcopa", "Vietnamese", "base model", "1.2 %", "500")]
    assert (rated(material), contamination(material)) == (None, None)
    page = page_of(CONFIG, scored, POLYLM_LANGUAGES)
    assert "Rated by a judge" in page
    assert "Contamination" in page


def test_how_far_outputs_keep_to_their_language_is_told_in_words(scored: Material) -> None:
    rates = confusion_rates(scored)
    assert rates is not None
    told = "every line in the language asked for, in answers"
    assert rates.rows == [(told, "75.0 %", "60.0 to 85.0", "500")]
    assert all(cells[0] != "language_confusion" for cells in benchmarks(scored).rows)
    page = page_of(CONFIG, scored, POLYLM_LANGUAGES)
    assert "Line and word pass rates" in page
    assert "line_pass_rate" not in page
