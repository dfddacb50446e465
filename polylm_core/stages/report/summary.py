"""What a reader should take away: headline figures, findings in sentences, sample answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polylm_core.languages import get_language
from polylm_core.stages.report import words
from polylm_core.stages.report.blocks import ALL_LANGUAGES, overall, score_rows
from polylm_core.stages.report.config import ReportConfig
from polylm_core.stages.report.material import Material, Row
from polylm_core.stages.report.scores import ABOVE, choice_verdict

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
            f"trained from scratch on {words.size(text)} of text"
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
            f"chance is {100 * choice['baseline']:.0f} %: {choice_verdict(choice)}",
        ),
        *_language_headline(material),
        Headline(
            f"{100 * stopped['value']:.0f} %",
            "answers that end by themselves",
            f"of {words.count(stopped['items'])} held-out instructions",
        ),
    ]


def _language_headline(material: Material) -> list[Headline]:
    """The share of answers in the language asked for, where any language could be identified."""
    right = score_rows(material, "answers", "in_language_share", "chat").get(ALL_LANGUAGES)
    if right is None:
        return []
    interval = words.unbroken(f"95 % interval {words.interval(right, 0, 100)} %")
    share = f"{100 * right['value']:.0f} %"
    return [Headline(share, "answers in the language asked for", interval)]


def _origin(material: Material, config: ReportConfig) -> str:
    """Where the base model is from."""
    if not material.is_trained:
        return "Its base model is another's, taken as it is"
    text = sum(row["bytes"] for row in material.kept)
    tokens = sum(row["tokens"] for row in material.mixture)
    return (
        f"It was trained from scratch on {words.short_count(tokens)} tokens drawn from "
        f"{words.size(text)} of {config.domain}"
    )


def _adapter(material: Material) -> str:
    return "" if material.adapter is None else f"; scored with its adapter {material.adapter}"


def findings(material: Material, languages: Sequence[str], config: ReportConfig) -> list[str]:
    """What was done and what came of it, in sentences."""
    sentences = [
        f"{config.model_name} is a language model of {words.short_count(material.parameters)} "
        f"parameters for {len(languages)} languages. {_origin(material, config)}, "
        f"then tuned to follow instructions{_adapter(material)}.",
        _compression(material, languages),
        _choice(material, languages),
        _translation(material),
        _answers(material),
    ]
    return [words.unbroken(sentence) for sentence in sentences]


def _compression(material: Material, languages: Sequence[str]) -> str:
    gains = score_rows(material, "bits_per_byte", "gain_over_unigram_percent", "base")
    ordered = sorted((gains[code]["value"], code) for code in languages if code in gains)
    mean = gains[""]["value"]
    (worst, last), (best, first) = ordered[0], ordered[-1]
    return (
        f"It has learned more than which tokens are frequent: unseen text takes it {mean:.0f} % "
        f"fewer bits than a count of tokens does, from {worst:.0f} % in {words.name(last)} to "
        f"{best:.0f} % in {words.name(first)}."
        if gains[last]["low"] > 0
        else f"In {words.name(last)} it predicts unseen text no better than a count of tokens."
    )


def _choice(material: Material, languages: Sequence[str]) -> str:
    rows = score_rows(material, "translation_choice", "acc_norm", "base")
    above = [code for code in languages if code in rows and choice_verdict(rows[code]) == ABOVE]
    pooled = overall(material, "translation_choice", "acc_norm", "base")
    own = f" ({words.listed([words.name(code) for code in above])})" if 0 < len(above) <= 6 else ""
    return (
        f"Asked for the translation of an English sentence among four, it is right in "
        f"{100 * pooled['value']:.0f} % (95 % interval {words.interval(pooled, 0, 100)} %, "
        f"chance {100 * pooled['baseline']:.0f} %), which is {choice_verdict(pooled)}; taken "
        f"alone, {len(above)} of {len(rows) - 1} languages are above chance{own}."
    )


def _translation(material: Material) -> str:
    out = overall(material, "translation", "chrf_from_english", "chat")
    into = overall(material, "translation", "chrf_into_english", "chat")
    parts = [
        f"chrF {row['value']:.0f} {label}, where leaving the sentence untouched has "
        f"{row['baseline']:.0f}"
        for label, row in (("from English", out), ("into English", into))
    ]
    better = [row["low"] > row["baseline"] for row in (out, into)]
    verdict = {2: "better", 1: "better in one direction only"}.get(sum(better), "no better")
    return (
        f"Its translations are {verdict} than no translation: {words.listed(parts)} "
        "(100 is the reference itself)."
    )


def _answers(material: Material) -> str:
    right = score_rows(material, "answers", "in_language_share", "chat").get(ALL_LANGUAGES)
    stopped = overall(material, "answers", "stopped_share", "chat")
    same = overall(material, "answers", "identical_share", "chat")
    length = overall(material, "answers", "median_answer_tokens", "chat")
    in_language = f"{100 * right['value']:.0f} % are in the language asked for, " if right else ""
    return (
        f"Of {words.count(stopped['items'])} answers, {in_language}"
        f"{100 * stopped['value']:.0f} % end by themselves and "
        f"{100 * same['value']:.0f} % repeat another one; half have {length['value']:.0f} tokens "
        "or more. Whether they are true was not measured."
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
        tag=get_language(row["language"]).bcp47,
        prompt_tag=get_language(row["prompt_language"]).bcp47,
        prompt=_shortened(row["prompt"]),
        answer=_shortened(row["answer"]),
        reference=_shortened(row["reference"]),
        verdict=f"{spoken}, {ended}",
    )


def _shortened(text: str) -> str:
    if len(text) <= MAX_SAMPLE_CHARACTERS:
        return text
    return text[:MAX_SAMPLE_CHARACTERS].rstrip() + " …"
