"""`polylm judgements` recomputes published means and names what does not agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polylm_core.cli.judgements import as_json, lines
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
    found = json.loads(as_json(write(tmp_path, rows)))["files"]["nepali.json"]
    assert found["recorded"]["value"] == pytest.approx(18.5 / 3)
    assert found["recorded"]["low"] <= 18.5 / 3 <= found["recorded"]["high"]
    assert found["by_category"]["coding"]["value"] == pytest.approx(4.75)
    assert found["by_category"]["math"]["items"] == 1
    assert found["remarks"] == []


def test_what_does_not_agree_is_named_and_nothing_is_dropped(tmp_path: Path) -> None:
    rows = [
        row(1, 10.0, 'I would give a score of "8".'),
        row(2, 10.0, "Rating: [[9.5]]"),
        row(3, 7.0, "Only in single brackets: [7]"),
        row(4, 5.0, "Off the scale: [[95]]"),
    ]
    (tmp_path / "question.jsonl").write_text("{}\n")
    printed = "\n".join(lines(write(tmp_path, rows)))
    assert "8.00" in printed  # all four
    assert "8.25 of 2" in printed  # by the text
    assert "nepali.json: 3 ratings and judgements do not agree" in printed
    assert "question 1: recorded 10; the judgement holds no [[rating]] and ends: I would" in printed
    assert "question 2: recorded 10; the judgement says 9.5" in printed
    assert "question 4: recorded 5; the judgement holds no [[rating]]" in printed
    assert "question 3" not in printed
    assert printed.endswith("not read, as they are no *.json: question.jsonl")


def test_a_row_without_a_recorded_rating_is_named_and_not_counted(tmp_path: Path) -> None:
    rows = [row(1, 4.0, "[[4]]"), row(2, 0.0, "I cannot judge this.") | {"got_rating": False}]
    printed = lines(write(tmp_path, rows))
    assert printed[1].split()[1:3] == ["1", "4.00"]
    assert "  question 2: no rating was recorded; it is not in the mean" in printed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "EOF|Invalid JSON"),
        ('[{"id": 1}]', "3 problems, the first at 0.category"),
        ("[]", "no recorded rating"),
    ],
)
def test_another_file_is_refused_by_name(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(SourceError, match=said) as caught:
        lines(tmp_path)
    assert "other.json" in str(caught.value)


def test_a_folder_without_judgements_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no \*\.json file"):
        lines(tmp_path / "nowhere")


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
    files = json.loads(as_json(TACO))["files"]
    for language, (mean, categories) in published.items():
        found = files[f"taco_{language}_judgements.json"]
        assert round(found["recorded"]["value"], 2) == mean
        assert found["recorded"]["items"] == 80
        for name, value in zip(names, categories, strict=True):
            assert round(found["by_category"][name]["value"], 2) == value, name
        assert len(found["remarks"]) == 5
