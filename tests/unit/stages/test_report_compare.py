"""Differences of two scores, and figures of the papers beside ours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from polylm_core.languages import POLYLM_LANGUAGES
from polylm_core.stages.report import metrics
from polylm_core.stages.report.compare import Run, difference, findings, parameters, scores
from polylm_core.stages.report.material import Material, read_material
from tests.unit.stages.report_inputs import make_inputs


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return read_material(make_inputs(tmp_path_factory.mktemp("inputs")), POLYLM_LANGUAGES)


def score(value: float, low: float | None, high: float | None, **more: Any) -> dict[str, Any]:
    row = {"model": "base", "suite": "xcopa", "metric": "acc", "language": "ind_Latn"}
    return row | {"value": value, "low": low, "high": high, "items": 500, "baseline": 0.5} | more


def test_a_difference_has_the_limits_that_newcombe_published() -> None:
    """Table II (a) of Newcombe 1998: 56 of 70 and 48 of 80, method 10: 0.0524 to 0.3339."""
    first, second = score(0.8, 0.6921, 0.8774), score(0.6, 0.4905, 0.7004)
    found = difference(first, second)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=3e-3)
    assert found.is_sure


def test_a_difference_that_may_be_nothing_is_not_sure() -> None:
    assert not difference(score(0.52, 0.47, 0.57), score(0.50, 0.45, 0.55)).is_sure
    assert not difference(score(0.9, None, None), score(0.1, 0.05, 0.15)).is_sure


@pytest.mark.parametrize(
    ("low", "said"), [(0.51, "above chance"), (0.5, "not above chance"), (0.4, "not above chance")]
)
def test_an_unknown_accuracy_is_judged_beside_chance(low: float, said: str) -> None:
    row = score(0.55, low, 0.6)
    assert metrics.verdict(row) == said
    assert metrics.cells(row)[1] == "55.0 %"


def test_fewer_bits_are_better() -> None:
    row = score(2.0, 1.9, 2.1, metric="bits_per_byte", baseline=3.0)
    assert metrics.verdict(row) == "better than counting tokens"
    assert metrics.verdict(row | {"high": 3.1}) == "no better than counting tokens"


@pytest.mark.parametrize("metric", ["answers_share", "xcopa_share", "flores200_from_english_share"])
def test_fewer_items_found_in_the_training_text_are_better(metric: str) -> None:
    found = metrics.metric(score(0.1, 0, 0.2, suite="contamination", metric=metric))
    assert found.lower_is_better
    assert found.value(0.1) == "10.0 %"
    assert found.label.endswith("found in the training text")


@pytest.mark.parametrize("metric", ["exact_match", "exact_match,none", "em", "f1", "acc"])
def test_a_share_is_shown_as_one(metric: str) -> None:
    assert metrics.cells(score(0.004, 0, 0.01, metric=metric))[1] == "0.4 %"


def make_run(name: str, material: Material, *codes: str, **params: Any) -> Run:
    """A run whose one set was asked in these languages, with a score over all of them."""
    value = 0.9 if name == "first" else 0.1
    scores = [
        score(value, value - 0.05, value + 0.05, suite="xquad", metric="f1", language=code)
        for code in ("", *codes)
    ]
    lineage = [{"stage": stage, "params": {"seed": 1, **params}, "fingerprint": "0" * 64}
               for stage in ("ingest", "curate", "evaluate")]  # fmt: skip
    return Run(name, replace(material, scores=scores, lineage=lineage), codes)


def test_means_over_other_languages_are_not_judged(material: Material) -> None:
    first = make_run("first", material, "deu_Latn", "fra_Latn")
    alike = make_run("second", material, "deu_Latn", "fra_Latn")
    other = make_run("second", material, "deu_Latn")
    assert scores(first, alike, overall=True).rows[0][-1] == "first is better"
    assert scores(first, other, overall=True).rows[0][-1] == "of other languages"
    assert scores(first, other, overall=False).rows[0][-1] == "first is better"


def test_what_all_stages_share_differs_once(material: Material) -> None:
    first, second = (make_run(name, material) for name in ("first", "second"))
    lineage = [row | {"params": {"seed": 2}} for row in second.material.lineage]
    other = replace(second, material=replace(second.material, lineage=lineage))
    assert parameters(first, other).rows == [("seed", "1", "2")]
    assert findings(first, other)[0] == "1 parameter differs."
