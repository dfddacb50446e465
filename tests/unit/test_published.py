"""Every published figure has its source, and the tables' means follow from their cells."""

from __future__ import annotations

from collections import defaultdict
from statistics import mean

import pytest
from pydantic import ValidationError

from polylm_core.languages import POLYLM_LANGUAGES
from polylm_core.published import PublishedScore, published_for, published_scores

Cell = dict[str, float]


def cells(row: PublishedScore) -> Cell:
    """What the mean of a row is over: the languages of the same model in the same table."""
    same = [
        other
        for other in published_for(row.benchmark)
        if (other.source, other.model, other.metric) == (row.source, row.model, row.metric)
        and other.language
    ]
    is_trained = {"mean-trained": True, "mean-other": False}.get(row.part)
    to_english = {"mean-into-english": True, "mean-from-english": False}.get(row.part)
    return {
        other.language: other.value
        for other in same
        if is_trained in (None, other.language in POLYLM_LANGUAGES)
        and to_english in (None, other.language.endswith("-eng_Latn"))
    }


def test_every_row_has_a_source_and_stands_once() -> None:
    rows = published_scores()
    assert len(rows) > 500
    assert all(row.source and row.model for row in rows)
    places = [row.model_dump(exclude={"value", "note", "status"}).values() for row in rows]
    assert len({tuple(place) for place in places}) == len(rows)


def test_means_follow_from_their_cells_or_say_that_they_do_not() -> None:
    checked = 0
    for row in published_scores():
        values = cells(row) if row.part.startswith("mean") else {}
        if len(values) < 2 or row.benchmark == "vicuna80":
            continue
        agrees = abs(mean(values.values()) - row.value) < 0.16  # the cells are rounded to 0.1
        assert agrees or "does not follow" in row.note, (row, values)
        checked += 1
    assert checked > 60


def test_accuracies_are_percent_and_ratings_on_their_scale() -> None:
    ranges = {"acc": (20, 100), "f1": (0, 100), "rating": (1, 10), "bleu": (0, 100)}
    for row in published_scores():
        low, high = ranges.get(row.metric, (0, 100))
        assert low <= row.value <= high, row


@pytest.mark.parametrize(
    ("model", "benchmark", "language", "value"),
    [
        ("PolyLM-13B", "xcopa", "ind_Latn", 70.2),
        ("BLOOM-7.1B", "wmt20", "deu_Latn-eng_Latn", 23.9),
        ("LLaMA-13B", "tydiqa_goldp", "tel_Telu", 8.5),
        ("PolyLM-MultiAlpaca-13B", "pawsx", "eng_Latn", 65.3),
    ],
)
def test_figures_are_found_by_benchmark_and_language(
    model: str, benchmark: str, language: str, value: float
) -> None:
    assert [r.value for r in published_for(benchmark, language) if r.model == model] == [value]


def test_tacos_means_follow_from_its_categories() -> None:
    sizes = defaultdict(lambda: 10, coding=7, math=3)
    for language in ("npi_Deva", "san_Deva", "pes_Arab", "mai_Deva"):
        rows = [row for row in published_for("vicuna80", language) if row.metric == "rating"]
        (whole,) = (row.value for row in rows if not row.part)
        parts = {row.part: row.value for row in rows if row.part}
        total = sum(sizes[part] * value for part, value in parts.items())
        assert total / sum(sizes[part] for part in parts) == pytest.approx(whole, abs=0.01)


@pytest.mark.parametrize(
    "change", [{"source": ""}, {"language": "xyz_Latn"}, {"metric": "luck"}, {"language": ""}]
)
def test_a_row_without_a_source_or_with_a_mistake_is_refused(change: dict[str, str]) -> None:
    row = published_scores()[0].model_dump() | {"shots": "0"}
    assert PublishedScore.model_validate(row)
    with pytest.raises(ValidationError):
        PublishedScore.model_validate(row | change)
