"""Two runs side by side: the same tables with differences and their intervals, curves together.

The 95 % interval of a difference is made of the two scores' intervals: the square-and-add limits of
Newcombe (Statistics in Medicine 17, 1998, method 10; Zou and Donner, ibid. 27, 2008), which hold
for independent scores. Two models scored on the same items are not independent but alike, so the
interval is rather too wide than too narrow: what it calls a difference is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polylm_core.stages.report import curves, filtering, metrics, words
from polylm_core.stages.report.blocks import ALL_LANGUAGES, Figure, Table, model_name
from polylm_core.stages.report.material import Material
from polylm_core.stages.report.origins import RECIPE_WIDE
from polylm_core.stages.report.page import render
from polylm_core.stages.report.reading import Row
from polylm_core.stages.report.timings import Timings, speed_figure

CONTENTS = {
    "summary": "Summary",
    "parameters": "Parameters",
    "scores": "Scores",
    "languages": "Languages",
    "training": "Training",
    "lineage": "Lineage",
}
SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Run:
    """One of the two."""

    name: str
    material: Material
    languages: tuple[str, ...]
    timings: Timings | None = None


@dataclass(frozen=True)
class Difference:
    """First score less second, with its 95 % interval where both have one."""

    value: float
    low: float | None
    high: float | None

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def difference(first: Row, second: Row) -> Difference:
    """The difference of two scores (Newcombe 1998, method 10)."""
    value = first["value"] - second["value"]
    if None in (first["low"], first["high"], second["low"], second["high"]):
        return Difference(value, None, None)
    below = math.hypot(first["value"] - first["low"], second["high"] - second["value"])
    above = math.hypot(first["high"] - first["value"], second["value"] - second["low"])
    return Difference(value, value - below, value + above)


def page_of_two(first: Run, second: Run) -> str:
    """The page of two runs as HTML."""
    shown = {
        "first": first,
        "second": second,
        "findings": findings(first, second),
        "parameters": parameters(first, second),
        "scores": scores(first, second, overall=True),
        "scores_by_language": scores(first, second, overall=False),
        "languages": languages(first, second),
        "charts": [chart for chart in charts(first, second) if chart is not None],
        "lineage": lineage(first, second),
    }
    return render("compare.html.j2", f"{first.name} and {second.name}", CONTENTS, shown)


Key = tuple[str, str, str, str]


def _by_key(run: Run) -> dict[Key, Row]:
    return {
        (row["suite"], row["metric"], row["model"], row["language"]): row
        for row in run.material.scores
    }


def findings(first: Run, second: Run) -> list[str]:
    """What differs, in sentences."""
    one, other = _by_key(first), _by_key(second)
    both = [key for key in one if key in other]
    changed = len(parameters(first, second).rows)
    verdicts = [_verdict(one[key], other[key], first, second) for key in both]
    better = {run.name: verdicts.count(f"{run.name} is better") for run in (first, second)}
    told = [f"{name} is better in {words.count(number)}" for name, number in better.items()]
    alone = len(one) + len(other) - 2 * len(both)
    return [
        "No parameter differs."
        if not changed
        else "1 parameter differs."
        if changed == 1
        else f"{changed} parameters differ.",
        f"Of {words.count(len(both))} scores that both have, {words.count(sum(better.values()))} "
        f"differ by more than chance: {words.listed(told)}.",
        "An interval of a difference that holds zero says that the two may be equal; among so many "
        "scores, one in twenty leaves zero out by luck.",
        f"{words.count(alone)} scores are of one run only and are left out of the tables."
        if alone
        else "Both runs have the same scores.",
    ]


def _verdict(one: Row, other: Row, first: Run, second: Run) -> str:
    shown = metrics.metric(one)
    found = difference(one, other)
    if one["language"] == ALL_LANGUAGES and _summed(first, one) != _summed(second, one):
        return "of other languages"
    if found.low is None:
        return words.NOTHING
    if not found.is_sure:
        return "may be equal"
    if one["metric"] == "median_answer_tokens":
        return "differs"
    leads = (found.value < 0) == shown.lower_is_better
    return f"{(first if leads else second).name} is better"


def _summed(run: Run, score: Row) -> set[str]:
    """The languages behind a score over all of them."""
    kind = ("suite", "metric", "model")
    return {
        row["language"]
        for row in run.material.scores
        if all(row[name] == score[name] for name in kind)
    }


def scores(first: Run, second: Run, *, overall: bool) -> Table:
    """Every score that both have: over all languages, or of each language."""
    one, other = _by_key(first), _by_key(second)
    rows = []
    for key in one:
        if key not in other or (key[3] == ALL_LANGUAGES) != overall:
            continue
        shown = metrics.metric(one[key])
        found = difference(one[key], other[key])
        gap = {"low": found.low, "high": found.high}
        rows.append(
            (
                metrics.label(one[key]),
                words.name(key[3]),
                model_name(key[2]),
                shown.value(one[key]["value"]),
                shown.value(other[key]["value"]),
                _signed(shown, found.value),
                shown.interval(gap),
                _verdict(one[key], other[key], first, second),
            )
        )
    names = ("Measure", "Language", "Model", first.name, second.name)
    return Table((*names, "Difference", "95 % interval", "Meaning"), rows, left=(0, 1, 2, 7))


def _signed(shown: metrics.Metric, value: float) -> str:
    return f"{'+' if value > 0 else ''}{shown.value(value)}"


def parameters(first: Run, second: Run) -> Table:
    """Every parameter of a stage that is not the same in both."""
    one, other = (_parameters(run) for run in (first, second))
    rows = [
        (name, _told(one.get(name)), _told(other.get(name)))
        for name in dict.fromkeys([*one, *other])
        if one.get(name) != other.get(name)
    ]
    return Table(("Parameter", first.name, second.name), rows, left=(0, 1, 2))


def _parameters(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in run.material.lineage:
        own = {name: value for name, value in row["params"].items() if name not in RECIPE_WIDE}
        found |= _flat(row["stage"], own)
        found |= {name: row["params"][name] for name in RECIPE_WIDE if name in row["params"]}
    return found


def _flat(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {name: value}
    return {key: leaf for part, inner in value.items()
            for key, leaf in _flat(f"{name}.{part}", inner).items()}  # fmt: skip


def _told(value: Any) -> str:
    text = words.NOTHING if value is None else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]} …"


def languages(first: Run, second: Run) -> Table:
    """Text kept, tokens read and the price in tokens, of the languages that both have."""
    rows = []
    for code in first.languages:
        if code not in second.languages:
            continue
        runs = (first.material, second.material)
        kept = [filtering.kept_share(material, code) for material in runs]
        read = [sum(row["tokens"] for row in material.mixture if row["stream"] == code)
                for material in runs]  # fmt: skip
        parity = [
            next((row["parity"] for row in material.fertility if row["language"] == code), None)
            for material in runs
        ]
        rows.append(
            (
                words.name(code),
                *_pair(kept, words.percent),
                *_pair(read, words.count),
                *_pair(parity, words.decimal),
            )
        )
    heads = [
        head
        for what in ("Text kept", "Tokens read", "Tokens vs English")
        for head in (f"{what}: {first.name}", second.name, "Difference")
    ]
    return Table(("Language", *heads), rows)


def _pair(values: Sequence[float | None], told: Callable[[Any], str]) -> tuple[str, str, str]:
    one, other = values
    if one is None or other is None:
        shown = [words.NOTHING if value is None else told(value) for value in values]
        return (*shown, words.NOTHING)  # type: ignore[return-value]
    gap = one - other
    return (told(one), told(other), f"{'+' if gap > 0 else ''}{told(gap)}")


def charts(first: Run, second: Run) -> list[Figure | None]:
    """Curves of both over each other."""
    runs = (first, second)
    base = {run.name: curves.curve(run.material.base_curves, "loss") for run in runs}
    chat = {run.name: curves.curve(run.material.chat_curves, "loss") for run in runs}
    bits = {run.name: curves.mean_bits(run.material, run.languages) for run in runs}
    speeds = {
        f"{run.name}, {name}": points
        for run in runs
        if run.timings is not None
        for name, points in run.timings.speeds.items()
    }
    return [
        _over(base, "loss-base", "Loss of the base model (nats a token)"),
        _over(bits, "bits", "Held-out bits per byte, mean of the languages"),
        _over(chat, "loss-chat", "Loss of the chat model (nats a token of an answer)"),
        speed_figure(speeds),
    ]


def _over(
    series: Mapping[str, tuple[list[int], list[float]]], name: str, title: str
) -> Figure | None:
    shown = {run: points for run, points in series.items() if points[0]}
    if not shown:
        return None
    caption = f"{title}, both runs over each other; lower is better."
    return curves.figure(name, shown, title, caption=caption)


def lineage(first: Run, second: Run) -> Table:
    """Which artifacts are the very same, by fingerprint."""
    one, other = (
        {row["stage"]: row["fingerprint"] for row in run.material.lineage}
        for run in (first, second)
    )
    rows = [
        (
            stage,
            one[stage][:12],
            other[stage][:12],
            "the same bytes" if one[stage] == other[stage] else "differs",
        )
        for stage in one
    ]
    return Table(("Stage", first.name, second.name, "Artifact"), rows, left=(0, 1, 2, 3))
