"""Scores that are shown as tables alone: confusion, benchmarks, ratings, contamination."""

from __future__ import annotations

from polylm_core.stages.report import metrics, words
from polylm_core.stages.report.blocks import ALL_LANGUAGES, Table, model_name
from polylm_core.stages.report.material import Material


def confusions(material: Material) -> Table | None:
    """In which other languages answers came, the most frequent first; none where none did."""
    found: dict[tuple[str, str], int] = {}
    for row in material.answers:
        if row["in_language"] is False:
            key = (row["language"], row["identified_label"])
            found[key] = found.get(key, 0) + 1
    asked = {code: 0 for code, _ in found}
    for row in material.answers:
        if row["language"] in asked:
            asked[row["language"]] += 1
    rows = [
        (
            words.name(code),
            label or "no letters to tell by",
            words.count(number),
            words.percent(number / asked[code]),
        )
        for (code, label), number in sorted(found.items(), key=lambda each: (-each[1], each[0]))
    ]
    names = ("Asked for", "Identified as", "Answers", "Share of its answers")
    return Table(names, rows, left=(0, 1)) if rows else None


def confusion_rates(material: Material) -> Table | None:
    """Line and word pass rates over all languages; none where they were not measured."""
    rows = [
        (*metrics.cells(row)[:3], words.count(row["items"]))
        for row in material.scores
        if row["suite"] == metrics.CONFUSION and row["language"] == ALL_LANGUAGES
    ]
    names = ("Outputs with", "Share", "95 % interval", "Outputs")
    return Table(names, rows, left=(0,)) if rows else None


def benchmarks(material: Material) -> Table | None:
    """Every score of a suite that has no section of its own; none where there is none."""
    scores = [row for row in material.scores if row["suite"] not in metrics.SUITES]
    rows = [
        (row["suite"], words.name(row["language"]), model_name(row["model"]), *metrics.cells(row))
        for row in scores
    ]
    names = ("Set", "Language", "Model", *metrics.CELL_NAMES)
    return Table(names, rows, left=(0, 1, 2, 3, 7)) if rows else None


def rated(material: Material) -> Table | None:
    """What a judge gave the answers, by category; none where none judged."""
    rows = [
        (words.name(row["language"]), *metrics.cells(row)[:3], words.count(row["items"]))
        for row in material.scores
        if row["suite"] == metrics.JUDGE
    ]
    names = ("Questions in", "Measure", "Value", "95 % interval", "Answers")
    return Table(names, rows, left=(0, 1)) if rows else None


def contamination(material: Material) -> Table | None:
    """Share of each evaluation set found in the training text; none where it was not looked for."""
    rows = [
        (
            row["metric"].removesuffix("_share"),
            words.name(row["language"]),
            model_name(row["model"]),
            words.percent(row["value"]),
            words.count(row["items"]),
        )
        for row in material.scores
        if row["suite"] == metrics.CONTAMINATION
    ]
    names = ("Set", "Language", "Model", "Found in its training text", "Items")
    return Table(names, rows, left=(0, 1, 2)) if rows else None
