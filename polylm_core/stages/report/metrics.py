"""What a metric is called, how its figure is written, and what it means beside no skill at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polylm_core.stages.report import words

JUDGE, CONTAMINATION, CONFUSION = "judge", "contamination", "language_confusion"
SUITES = {
    "bits_per_byte": "Predicting unseen text",
    "translation": "Translating",
    "translation_choice": "Finding the translation among four",
    "answers": "Answering instructions",
    JUDGE: "Rated by a judge",
    CONTAMINATION: "Evaluation items found in the training text",
    CONFUSION: "Keeping to the language asked for",
}
"""The suites that have sections of their own; any other is shown as a benchmark."""


@dataclass(frozen=True)
class Metric:
    """How a metric is shown."""

    label: str
    digits: int = 2
    factor: float = 1
    unit: str = ""
    lower_is_better: bool = False
    beaten: str = "chance"
    """What a model without the skill scores, in words; shown where a score has a baseline."""
    judged: bool = True
    """Whether its baseline is one to be better than."""

    def value(self, value: float) -> str:
        """The figure with its unit."""
        return f"{self.factor * value:,.{self.digits}f}{self.unit}"

    def interval(self, row: Mapping[str, Any]) -> str:
        """The 95 % interval without a unit."""
        return words.interval(row, self.digits, self.factor)


def _share(label: str, **more: Any) -> Metric:
    return Metric(label, digits=1, factor=100, unit=" %", **more)


_UNTOUCHED = "the source left as it is"
KNOWN = {
    "bits_per_byte": Metric("bits per byte", lower_is_better=True, beaten="counting tokens"),
    "gain_over_unigram_percent": Metric(
        "bits saved against counting tokens", digits=1, unit=" %", beaten="counting tokens"
    ),
    "chrf_from_english": Metric("chrF from English", digits=1, beaten=_UNTOUCHED),
    "chrf_into_english": Metric("chrF into English", digits=1, beaten=_UNTOUCHED),
    "bleu_from_english": Metric("BLEU from English", digits=1, beaten=_UNTOUCHED),
    "bleu_into_english": Metric("BLEU into English", digits=1, beaten=_UNTOUCHED),
    "acc": _share("right, by log-likelihood"),
    "acc_norm": _share("right, by log-likelihood a character"),
    "rouge": _share("mean of ROUGE-1, 2 and L"),
    "in_language_share": _share("in the language asked for", judged=False),
    "stopped_share": _share("ended by itself", judged=False),
    "identical_share": _share("repeats another answer", judged=False, lower_is_better=True),
    **{
        f"{rate}_pass_rate_{outputs}": _share(f"{what} {where}", judged=False)
        for rate, what in (
            ("line", "every line in the language asked for,"),
            ("word", "no English word where every line is right,"),
        )
        for outputs, where in (
            ("answers", "in answers"),
            ("from_english", "in translations from English"),
            ("into_english", "in translations into English"),
        )
    },
    "unrated_share": _share("answers the judge did not rate", judged=False, lower_is_better=True),
    "median_answer_tokens": Metric("median tokens of an answer", digits=1, judged=False),
}
IN_FULL = {
    ("translation_choice", "acc"): "right translation of four, by log-likelihood",
    ("translation_choice", "acc_norm"): "right translation of four, by log-likelihood a character",
    ("answers", "in_language_share"): "answers in the language asked for",
    ("answers", "stopped_share"): "answers that end by themselves",
    ("answers", "identical_share"): "answers that repeat another",
}
"""Labels that would say too little outside the section of their suite."""
CONTAMINATED = {
    "answers_share": "held-out answers",
    "translation_share": "held-out pairs",
}
"""Sets of the run's own text; the others are published ones."""
SHARES = ("acc", "exact_match", "f1", "em", "share", "rate", "accuracy")
"""Words in the name of a metric that lies between 0 and 1."""


def metric(row: Mapping[str, Any]) -> Metric:
    """How to show a score's metric; an unknown one that looks like a share is one."""
    name = row["metric"]
    if name in KNOWN:
        return KNOWN[name]
    measure = name.partition(",")[0]  # the harness's filter stands behind
    label = measure.replace("_", " ")
    if row["suite"] == CONTAMINATION:
        items = CONTAMINATED.get(name, f"items of {label.removesuffix(' share')}")
        return _share(f"{items} found in the training text", judged=False, lower_is_better=True)
    if 0 <= row["value"] <= 1 and {measure, *measure.split("_")} & {*SHARES}:
        return _share(label)
    return Metric(label)


def suite_name(suite: str) -> str:
    """What a suite is called."""
    return SUITES.get(suite, suite)


def verdict(row: Mapping[str, Any]) -> str:
    """What a score means beside its baseline: `above chance`, `not above chance`.

    Better only where the whole 95 % interval is: a score whose interval holds the baseline may be
    luck. Empty where there is no baseline or no interval.
    """
    shown = metric(row)
    low, high, baseline = row["low"], row["high"], row["baseline"]
    if not shown.judged or baseline is None or low is None or high is None:
        return ""
    better = high < baseline if shown.lower_is_better else low > baseline
    if shown.beaten == "chance":
        return "above chance" if better else "not above chance"
    return f"better than {shown.beaten}" if better else f"no better than {shown.beaten}"


def label(row: Mapping[str, Any]) -> str:
    """What a score measures, in words that need no heading."""
    suite, name = row["suite"], row["metric"]
    if (suite, name) in IN_FULL:
        return IN_FULL[suite, name]
    shown = metric(row).label
    return shown if suite in SUITES else f"{suite}: {shown}"


def cells(row: Mapping[str, Any]) -> tuple[str, str, str, str, str, str]:
    """A score as cells: metric, value, 95 % interval, baseline, meaning, items."""
    shown = metric(row)
    baseline = row["baseline"]
    return (
        shown.label,
        shown.value(row["value"]),
        shown.interval(row),
        words.NOTHING if baseline is None or not shown.judged else shown.value(baseline),
        verdict(row) or words.NOTHING,
        words.count(row["items"]),
    )


CELL_NAMES = ("Measure", "Value", "95 % interval", "Without skill", "Meaning", "Items")
