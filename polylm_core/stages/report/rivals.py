"""Figures of the papers, beside ours where the same set was scored, and for orientation."""

from __future__ import annotations

from polylm_core.published import PublishedScore, published_for, published_scores
from polylm_core.stages.report import metrics, words
from polylm_core.stages.report.blocks import Table, model_name
from polylm_core.stages.report.material import Material
from polylm_core.stages.report.reading import Row

MEAN = "mean"
PERCENT = frozenset({"acc", "f1", "rouge", "percent"})
"""Published metrics that are in percent, where ours are shares."""
OURS = "this run"
SUFFIXES = ("_from_english", "_into_english")
"""Of sets that `evaluate` asks by direction and the papers publish as one."""


def beside_published(material: Material) -> Table | None:
    """Our scores and the papers' on the same sets and languages; none where no set is the same.

    Published figures are whole tables of others: other prompts, shots and decoding. A row of ours
    over all languages stands beside their mean, which may be over other languages.
    """
    rows: list[tuple[str, ...]] = []
    for score in material.scores:
        if score["suite"] not in metrics.SUITES:
            theirs = _same(score)
            rows += [_ours(score), *(_their_row(score, row) for row in theirs)] if theirs else []
    names = ("Set", "Language", "Model", "Measure", "Value", "95 % interval", "From")
    return Table(names, rows, left=(0, 1, 2, 3, 6)) if rows else None


def _same(score: Row) -> list[PublishedScore]:
    """Published figures of a score's set, language and metric, in the order of the papers."""
    name, code = score["suite"], score["language"]
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    metric = score["metric"].split(",")[0]
    return [
        row
        for row in published_for(name)
        if row.metric in metric and (row.language == code if code else row.part == MEAN)
    ]


def _ours(score: Row) -> tuple[str, ...]:
    measure, value, interval, *_ = metrics.cells(score)
    language = words.name(score["language"])
    name = f"{OURS}, {model_name(score['model'])}"
    return (score["suite"], language, name, measure, value, interval, words.NOTHING)


def _their_row(score: Row, row: PublishedScore) -> tuple[str, ...]:
    shots = "" if row.shots is None else f", {row.shots} shots"
    unit = " %" if row.metric in PERCENT else ""
    told = f"{row.source}{'' if row.status == 'published' else f' ({row.status})'}"
    language = words.name(score["language"]) if row.language else "mean of the paper's languages"
    measure = f"{row.metric}{shots}"
    return (
        score["suite"], language, f"{row.model} ({row.kind})", measure, f"{row.value:.1f}{unit}",
        words.NOTHING, told,
    )  # fmt: skip


def orientation() -> Table:
    """What larger models of others score on published sets: their means over languages."""
    rows = [
        (
            row.benchmark,
            f"{row.model} ({row.kind})",
            row.metric,
            f"{row.value:.1f}{' %' if row.metric in PERCENT else ''}",
            words.NOTHING if row.shots is None else str(row.shots),
            row.source,
        )
        for row in published_scores()
        if row.part == MEAN
    ]
    names = ("Set", "Model", "Measure", "Mean of languages", "Shots", "From")
    return Table(names, rows, left=(0, 1, 2, 5))
