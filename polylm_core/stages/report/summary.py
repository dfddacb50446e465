"""What a reader should take away: headline figures, findings in sentences, sample answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polylm_core.stages.report import metrics, words
from polylm_core.stages.report.blocks import ALL_LANGUAGES, DIRECTIONS, overall, score_rows
from polylm_core.stages.report.config import ReportConfig
from polylm_core.stages.report.material import Material
from polylm_core.stages.report.reading import Row

ABOVE = "above chance"
TOLD = ("answers", "bits_per_byte", "translation", "translation_choice")
"""The suites that the sentences are about."""

MAX_SAMPLE_CHARACTERS = 300


@dataclass(frozen=True)
class Headline:
    """One figure of the summary."""

    value: str
    label: str
    note: str


@dataclass(frozen=True)
class Sample:
    """An instruction, the reference and the model's answer, with the tags browsers need."""

    language: str
    """English name of the language asked for."""
    tag: str
    direction: str
    """In which the language asked for is written."""
    prompt_tag: str
    prompt: str
    answer: str
    reference: str
    verdict: str


def headlines(material: Material, languages: Sequence[str]) -> list[Headline]:
    """Six figures for somebody in a hurry."""
    bits = overall(material, "bits_per_byte", "bits_per_byte", "base")
    gain = overall(material, "bits_per_byte", "gain_over_unigram_percent", "base")
    choice = overall(material, "translation_choice", "acc_norm", "base")
    stopped = overall(material, "answers", "stopped_share", "chat")
    trained = sum(row["tokens"] for row in material.mixture)
    text = sum(row["bytes"] for row in material.kept)
    return [
        Headline(
            str(len(languages)),
            "languages",
            f"{words.short_count(trained)} tokens read" if material.is_trained else "in the recipe",
        ),
        Headline(
            words.short_count(material.parameters),
            "parameters",
            f"{_begun(material)}; {words.size(text)} of text to draw from"
            if material.is_trained
            else "of a model that was imported",
        ),
        Headline(
            words.decimal(bits["value"]),
            "bits per byte of unseen text",
            f"{gain['value']:.0f} % less than counting tokens",
        ),
        Headline(
            f"{100 * choice['value']:.0f} %",
            "right translation of four",
            f"chance is {100 * choice['baseline']:.0f} %: {metrics.verdict(choice)}",
        ),
        *_language_headline(material),
        Headline(
            f"{100 * stopped['value']:.0f} %",
            "answers that end by themselves",
            f"of {words.count(stopped['items'])} held-out instructions",
        ),
    ]


def _begun(material: Material) -> str:
    if material.is_continued:
        return f"trained further from {material.hub_base or 'a model of others'}"
    return "trained from scratch"


def _language_headline(material: Material) -> list[Headline]:
    """The share of answers in the language asked for, where any language could be identified."""
    right = score_rows(material, "answers", "in_language_share", "chat").get(ALL_LANGUAGES)
    if right is None:
        return []
    interval = words.unbroken(f"95 % interval {words.interval(right, 0, 100)} %")
    share = f"{100 * right['value']:.0f} %"
    return [Headline(share, "answers in the language asked for", interval)]


def findings(material: Material, languages: Sequence[str], config: ReportConfig) -> list[str]:
    """Five sentences: what it is, what it learned, what it can and cannot do, how far to trust."""
    sentences = [
        _what(material, languages, config),
        _learned(material, languages),
        _translates(material, languages),
        _answers(material),
        _limits(material),
    ]
    return [words.unbroken(sentence) for sentence in sentences]


def _what(material: Material, languages: Sequence[str], config: ReportConfig) -> str:
    adapter = "" if material.adapter is None else f"; scored with its adapter {material.adapter}"
    text = sum(row["bytes"] for row in material.kept)
    tokens = sum(row["tokens"] for row in material.mixture)
    origin = (
        f"{_begun(material)} on {words.short_count(tokens)} tokens drawn from "
        f"{words.size(text)} of {config.domain}"
        if material.is_trained
        else "made from another's base model, taken as it is"
    )
    return (
        f"{config.model_name} is a language model of {words.short_count(material.parameters)} "
        f"parameters for {len(languages)} languages, {origin}, then tuned to follow "
        f"instructions{adapter}."
    )


def _learned(material: Material, languages: Sequence[str]) -> str:
    gains = score_rows(material, "bits_per_byte", "gain_over_unigram_percent", "base")
    ordered = sorted((gains[code]["value"], code) for code in languages if code in gains)
    mean = gains[ALL_LANGUAGES]["value"]
    (worst, last), (best, first) = ordered[0], ordered[-1]
    if gains[last]["low"] <= 0:
        return (
            f"In {words.name(last)} its base model predicts unseen text no better than a count of "
            "tokens."
        )
    return (
        "Its base model has learned how the languages go on: unseen text takes it "
        f"{mean:.0f} % fewer bits than knowing only how frequent each token is, from "
        f"{worst:.0f} % in {words.name(last)} "
        f"to {best:.0f} % in {words.name(first)}."
    )


def _translates(material: Material, languages: Sequence[str]) -> str:
    rows = score_rows(material, "translation_choice", "acc_norm", "base")
    pooled = overall(material, "translation_choice", "acc_norm", "base")
    above = sum(code in rows and metrics.verdict(rows[code]) == ABOVE for code in languages)
    written = [
        (label, overall(material, "translation", f"chrf_{direction}", "chat"))
        for direction, label in DIRECTIONS.items()
    ]
    better = [label for label, row in written if row["low"] > row["baseline"]]
    verdict = {
        0: "no better than leaving the sentence as it is, so it does not translate",
        1: f"better than leaving the sentence as it is {words.listed(better)} only",
        2: "better than leaving the sentence as it is",
    }[len(better)]
    return (
        f"Shown four sentences, its base model picks the translation of an English one in "
        f"{100 * pooled['value']:.0f} % (chance {100 * pooled['baseline']:.0f} %), which is "
        f"{metrics.verdict(pooled)} over all languages and above it in "
        f"{above or 'none'} of {len(rows) - 1} taken alone; what the chat model writes as a "
        f"translation is {verdict}."
    )


def _answers(material: Material) -> str:
    right = score_rows(material, "answers", "in_language_share", "chat").get(ALL_LANGUAGES)
    stopped = overall(material, "answers", "stopped_share", "chat")
    same = overall(material, "answers", "identical_share", "chat")
    in_language = f"{100 * right['value']:.0f} % are in the language asked for, " if right else ""
    return (
        f"Of {words.count(stopped['items'])} answers to instructions it had not seen, "
        f"{in_language}{100 * stopped['value']:.0f} % end by themselves and "
        f"{100 * same['value']:.0f} % only repeat another answer."
    )


def _limits(material: Material) -> str:
    """How far the figures of the sentences before reach."""
    fewest = min(
        row["items"]
        for row in material.scores
        if row["language"] != ALL_LANGUAGES and row["suite"] in TOLD
    )
    noun = "item" if fewest == 1 else "items"
    return (
        f"The smallest of these tests has {words.count(fewest)} {noun} in a language, so mind the "
        "intervals; and whether its answers are true, safe or fair was not tested at all."
    )


def samples(material: Material, languages: Sequence[str], per_language: int) -> list[Sample]:
    """The first answers of each language by id."""
    shown = []
    for code in languages:
        rows = sorted(
            (row for row in material.answers if row["language"] == code), key=lambda row: row["id"]
        )
        shown += [_sample(row) for row in rows[:per_language]]
    return shown


def _sample(row: Row) -> Sample:
    ended = "ended by itself" if row["stopped"] else "cut off at the limit"
    spoken = {
        True: "in the language asked for",
        False: "in another language",
        None: "its language not identified",
    }[row["in_language"]]
    return Sample(
        language=words.name(row["language"]),
        tag=words.tag(row["language"]),
        direction=words.direction(row["language"]),
        prompt_tag=words.tag(row["prompt_language"]),
        prompt=_shortened(row["prompt"]),
        answer=_shortened(row["answer"]),
        reference=_shortened(row["reference"]),
        verdict=f"{spoken}, {ended}",
    )


def _shortened(text: str) -> str:
    if len(text) <= MAX_SAMPLE_CHARACTERS:
        return text
    return text[:MAX_SAMPLE_CHARACTERS].rstrip() + " …"
