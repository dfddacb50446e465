"""Figures of the papers, beside ours where the same set was scored, and for orientation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from polylm_core.published import PublishedScore, published_for, published_scores
from polylm_core.stages.report import metrics, words
from polylm_core.stages.report.blocks import Table, model_name
from polylm_core.stages.report.material import Material
from polylm_core.stages.report.reading import Row

MEAN = "mean"
PERCENT = frozenset({"acc", "f1", "rouge", "percent"})
"""Published metrics that are in percent, where ours are shares."""
DIRECTIONS = {"from_english": "eng_Latn-{code}", "into_english": "{code}-eng_Latn"}
"""Of sets that `evaluate` asks one direction at a time and the papers publish as one: the end of
our name, and how the papers' rows name a language."""
CUT_OTHERWISE = ("wmt20_from_english", "jpn_Jpan")
"""Where our BLEU counts characters, and the papers' the words of a splitter they do not name."""
MEANS = {
    MEAN: "all languages",
    "mean-trained": "languages of PolyLM",
    "mean-other": "other languages",
    "mean-from-english": "from English",
    "mean-into-english": "into English",
}
"""What the papers give means over, in words."""


@dataclass(frozen=True)
class Beside:
    """Our scores with those of the papers in the same rows."""

    table: Table
    sources: list[str]
    """Where the columns of others are from."""


def beside_published(material: Material) -> Beside | None:
    """Our scores and the papers' on the same sets and languages; none where no set is the same.

    Published figures are whole tables of others: other prompts, shots and decoding. A row of ours
    over all languages stands beside their mean, which may be over other languages.
    """
    ours: dict[tuple[str, str, str], list[Row]] = {}
    for score in material.scores:
        if score["suite"] not in metrics.SUITES and _same(score) and _is_alike(score, material):
            key = (score["suite"], score["language"], score["metric"])
            ours.setdefault(key, []).append(score)
    if not ours:
        return None
    theirs = {key: _same(scores[0]) for key, scores in ours.items()}
    published = [row for rows in theirs.values() for row in rows]
    models = list(dict.fromkeys(row.model for row in published))
    scored = list(dict.fromkeys(score["model"] for rows in ours.values() for score in rows))
    rows = [
        (
            key[0],
            words.name(key[1]),
            metrics.cells(scores[0])[0],
            *(_our_cell(scores, model) for model in scored),
            *(_their_cell(theirs[key], model) for model in models),
        )
        for key, scores in ours.items()
    ]
    heads = ("Set", "Language", "Measure", *(f"This run, {model_name(model)}" for model in scored))
    told = dict.fromkeys(f"{row.model}: {row.source}" for row in published)
    return Beside(Table((*heads, *models), rows, left=(0, 1, 2)), list(told))


def _same(score: Row) -> list[PublishedScore]:
    """Published figures of a score's set, language and metric, in the order of the papers."""
    name, code, mean = score["suite"], score["language"], MEAN
    for direction, named in DIRECTIONS.items():
        if name.endswith(f"_{direction}"):
            name = name.removesuffix(f"_{direction}")
            code = code and named.format(code=code)
            mean = f"mean-{direction.replace('_', '-')}"
    parts = re.split("[_,]", score["metric"])
    return [
        row
        for row in published_for(name)
        if row.metric in parts and (row.language == code if code else row.part == mean)
    ]


def _is_alike(score: Row, material: Material) -> bool:
    """Whether the papers measured what we do: not what Japanese BLEU, or a mean with it, counts."""
    if score["suite"] != CUT_OTHERWISE[0]:
        return True
    languages = {row["language"] for row in material.scores if row["suite"] == score["suite"]}
    behind = {score["language"]} if score["language"] else languages
    return CUT_OTHERWISE[1] not in behind


def _our_cell(scores: Sequence[Row], model: str) -> str:
    row = next((score for score in scores if score["model"] == model), None)
    if row is None:
        return words.NOTHING
    _, value, interval, *_ = metrics.cells(row)
    return f"{value} ({interval})"


def _their_cell(rows: Sequence[PublishedScore], model: str) -> str:
    row = next((row for row in rows if row.model == model), None)
    return words.NOTHING if row is None else _value(row)


def _value(row: PublishedScore) -> str:
    return f"{row.value:.1f}{' %' if row.metric in PERCENT else ''}"


def orientation() -> Table:
    """What larger models of others score on published sets: their means over languages."""
    rows = [
        (
            row.benchmark,
            f"{row.model} ({row.kind})",
            row.metric,
            MEANS[row.part],
            _value(row),
            words.NOTHING if row.shots is None else str(row.shots),
            row.source,
        )
        for row in published_scores()
        if row.part in MEANS
    ]
    names = ("Set", "Model", "Measure", "Mean over", "Value", "Shots", "From")
    return Table(names, rows, left=(0, 1, 2, 3, 6))
