"""`polylm judgements` recomputes published means and names what does not agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polylm_core.cli.judgements import content
from polylm_core.errors import SourceError

TACO = Path(__file__).parents[4] / "shared" / "data" / "vicuna"


def row(number: int, rating: object, words: str, category: str = "math") -> dict[str, Any]:
    """One object of such a file, with the fields nobody needs."""
    return {
        "id": number, "question": "?", "answer": "!", "judgement": words, "category": category,
        "rating_in_number": rating, "got_rating": rating is not None, "turns": "['?']",
    }  # fmt: skip


def write(folder: Path, rows: list[dict[str, Any]], name: str = "nepali.json") -> Path:
    (folder / name).write_text(json.dumps(rows), encoding="utf-8")
    return folder


def test_means_are_of_the_recorded_ratings_whether_numbers_or_text(tmp_path: Path) -> None:
    rows = [
        row(1, 9.0, "Good. Rating: [[9]]"),
        row(2, "8.5", "Rating: [[8.5]]", category="coding"),
        row(3, "1", "Poor. [[1]]", category="coding"),
    ]
    found = content(write(tmp_path, rows))
    (mean,) = found["means"]
    assert mean["mean"] == mean["mean_by_text"] == pytest.approx(18.5 / 3)
    assert mean["low"] <= mean["mean"] <= mean["high"]
    assert found["categories"] == [
        {"category": "coding", "items": [2], "nepali.json": 4.75},
        {"category": "math", "items": [1], "nepali.json": 9.0},
    ]
    assert found["disagreements"] == []


def test_what_does_not_agree_is_named_and_nothing_is_dropped(tmp_path: Path) -> None:
    rows = [
        row(1, 10.0, 'I would give a score of "8".'),
        row(2, 10.0, "Rating: [[9.5]]"),
        row(3, 7.0, "Only in single brackets: [7]"),
        row(4, 5.0, "Off the scale: [[95]]"),
    ]
    (tmp_path / "question.jsonl").write_text("{}\n")
    found = content(write(tmp_path, rows))
    (mean,) = found["means"]
    assert (mean["mean"], mean["items"]) == (8.0, 4)
    assert (mean["mean_by_text"], mean["items_by_text"]) == (8.25, 2)
    told = {row["question"]: (row["in_text"], row["remark"]) for row in found["disagreements"]}
    assert set(told) == {1, 2, 4}
    assert told[1][1].endswith('which ends: I would give a score of "8".')
    assert told[2] == (9.5, "the judgement says another")
    assert found["not_read"] == ["question.jsonl"]


def test_a_row_without_a_recorded_rating_is_named_and_not_counted(tmp_path: Path) -> None:
    rows = [row(1, 4.0, "[[4]]"), row(2, 0.0, "I cannot judge this.") | {"got_rating": False}]
    found = content(write(tmp_path, rows))
    assert (found["means"][0]["items"], found["means"][0]["mean"]) == (1, 4.0)
    (told,) = found["disagreements"]
    assert (told["question"], told["remark"]) == (2, "not in the mean")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[", "EOF|Invalid JSON"),
        ('[{"id": 1}]', "3 problems, the first at 0.category"),
        ("[]", "no recorded rating"),
    ],
)
def test_another_file_is_refused_by_name(tmp_path: Path, written: str, said: str) -> None:
    (tmp_path / "other.json").write_text(written)
    with pytest.raises(SourceError, match=said) as caught:
        content(tmp_path)
    assert "other.json" in str(caught.value)


def test_a_folder_without_judgements_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no \*\.json file"):
        content(tmp_path / "nowhere")


@pytest.mark.skipif(not TACO.is_dir(), reason="TaCo's judgements do not lie in ../shared/data")
def test_tacos_published_means_come_out_of_its_raw_judgements() -> None:
    """README of UNHSAILLab/TaCo: all 80 questions and every category, two decimals."""
    names = (
        "coding", "common-sense", "counterfactual", "fermi", "generic", "knowledge", "math",
        "roleplay", "writing",
    )  # fmt: skip
    published = {
        "nepali": (8.24, (3.14, 8.55, 8.90, 7.70, 9.00, 9.55, 9.67, 8.35, 8.80)),
        "persian": (8.52, (7.90, 8.60, 8.46, 8.20, 9.00, 9.25, 6.33, 8.60, 8.65)),
    }
    found = content(TACO, digits=2)
    means = {row["file"]: row for row in found["means"]}
    for language, (mean, categories) in published.items():
        file = f"taco_{language}_judgements.json"
        assert (means[file]["mean"], means[file]["items"]) == (mean, 80)
        by_category = {row["category"]: row[file] for row in found["categories"]}
        assert by_category == dict(zip(names, categories, strict=True))
        assert sum(row["file"] == file for row in found["disagreements"]) == 5
