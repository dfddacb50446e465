"""A scorecard a language: what went in, what came out, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polylm_core.languages import Language, get_language
from polylm_core.stages.report import curves, filtering, metrics, summary, words
from polylm_core.stages.report.blocks import (
    CARD_PREFIX,
    Figure,
    Table,
    model_name,
    score_rows,
)
from polylm_core.stages.report.material import Material
from polylm_core.stages.report.reading import Row

TOTAL = "All stages"


@dataclass(frozen=True)
class Fact:
    """One figure at the head of a card."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Card:
    """All that the page shows of one language."""

    id: str
    language: Language
    direction: str
    facts: list[Fact]
    verdicts: list[str]
    filters: Table
    samples: list[filtering.SampleGroup]
    identification: str
    vocabulary: Table | None
    curriculum: Table
    bits: Figure | None
    scores: Table
    confusion: Table | None
    generations: list[summary.Sample]


def card_id(language: str) -> str:
    """The id of a language's card, to link to."""
    return f"{CARD_PREFIX}{language}"


def cards(material: Material, languages: Sequence[str], per_language: int) -> list[Card]:
    """A card a language, in the order of the recipe."""
    return [_card(material, code, languages, per_language) for code in languages]


def _card(material: Material, code: str, languages: Sequence[str], per_language: int) -> Card:
    return Card(
        id=card_id(code),
        language=get_language(code),
        direction=words.direction(code),
        facts=facts(material, code),
        verdicts=_verdicts(material, code),
        filters=filtering.filters(material, code),
        samples=filtering.samples(material, code),
        identification=_identification(material, code),
        vocabulary=_vocabulary(material, code),
        curriculum=_curriculum(material, code),
        bits=curves.bits_of_language(material, code, languages),
        scores=_scores(material, code),
        confusion=confusion(material, code),
        generations=summary.samples(material, [code], per_language),
    )


def facts(material: Material, code: str) -> list[Fact]:
    """The figures at the head of a card, those alone that the run has."""
    kept = next(row for row in material.kept if row["language"] == code)
    found = [
        Fact("text kept", words.percent(filtering.kept_share(material, code)),
             f"{words.size(kept['bytes'])} to train on"),
    ]  # fmt: skip
    drawn = _read(material, code)
    if drawn:
        tokens, epochs = (sum(row[name] for row in drawn) for name in ("tokens", "epochs"))
        note = f"{words.small(epochs)} epochs of its text"
        found.append(Fact("tokens read", words.short_count(tokens), note))
    fertility = next((row for row in material.fertility if row["language"] == code), None)
    if fertility is not None and fertility["parity"] is not None:
        found.append(
            Fact("tokens vs English", words.decimal(fertility["parity"]),
                 "for the same sentences")
        )  # fmt: skip
    for suite, name, model, label in (
        ("bits_per_byte", "bits_per_byte", "base", "bits per byte"),
        ("answers", "in_language_share", "chat", "answers in the language"),
    ):
        row = score_rows(material, suite, name, model).get(code)
        if row is not None:
            shown = metrics.metric(row)
            found.append(
                Fact(label, shown.value(row["value"]), f"95 % interval {shown.interval(row)}")
            )
    return found


def _read(material: Material, stream: str) -> list[Row]:
    """What training read of a stream by stage; nothing where the base model is imported."""
    return [row for row in material.mixture if row["stream"] == stream and material.is_trained]


def _verdicts(material: Material, code: str) -> list[str]:
    """What the scores of a language mean, in words."""
    found = []
    for row in material.scores:
        meaning = metrics.verdict(row) if row["language"] == code else ""
        if (
            meaning
            and row["metric"] not in ("gain_over_unigram_percent", "acc")
            and (not row["metric"].startswith("bleu"))
        ):
            shown = metrics.metric(row)
            found.append(
                f"{words.capital(metrics.label(row))} ({model_name(row['model'])}): "
                f"{shown.value(row['value'])}, {meaning}."
            )
    return [words.unbroken(sentence) for sentence in found]


def _identification(material: Material, code: str) -> str:
    row = next(row for row in material.identification if row["language"] == code)
    if row["median"] is None:
        return (
            "fastText's lid.176 does not know this language, so nothing is said of how sure the "
            "identification is."
        )
    median, lowest, unsure = (row[name] for name in ("median", "lowest_tenth", "unsure_share"))
    return words.unbroken(
        f"Of {words.count(row['documents'])} kept documents (held out, so drawn at random), "
        f"lid.176 gives this language a median probability of {median:.2f}, the least sure tenth "
        f"at most {lowest:.2f}; for {words.percent(unsure)} it is below one half, so that another "
        "language may be as probable."
    )


def _vocabulary(material: Material, code: str) -> Table | None:
    row = next((row for row in material.fertility if row["language"] == code), None)
    if row is None:
        return None
    unit = "word" if get_language(code).words == "spaces" else "character"
    english = next((r for r in material.fertility if r["language"] == "eng_Latn"), row)
    rows = [
        (f"Tokens a {unit}", words.decimal(row["tokens_per_word"]),
         words.decimal(english["tokens_per_word"]) if unit == "word" else words.NOTHING),
        ("Bytes a token", *(words.decimal(each["bytes_per_token"]) for each in (row, english))),
        ("Tokens for the same sentences, English is 1", words.decimal(row["parity"]),
         words.decimal(english["parity"])),
        ("Tokens that spell a byte", *(
            words.percent(each["byte_fallback_share"]) for each in (row, english)
        )),
    ]  # fmt: skip
    return Table(("Measure", "This language", "English"), rows)


def _curriculum(material: Material, code: str) -> Table:
    """Tokens and epochs of a language's text and pairs by curriculum stage."""
    rows = []
    streams = [
        stream
        for stream in dict.fromkeys(row["stream"] for row in material.mixture)
        if code in stream.split(words.STREAM_SEPARATOR) and (code != "eng_Latn" or stream == code)
    ]
    totals = {
        stage: sum(row["tokens"] for row in material.mixture if row["stage"] == stage)
        for stage in dict.fromkeys(row["stage"] for row in material.mixture)
    }
    for stream in streams:
        drawn = _read(material, stream)
        rows += [
            _drawn(row["stage"], stream, row["tokens"], row["epochs"], totals[row["stage"]])
            for row in drawn
        ]
        if len(drawn) > 1:
            tokens, epochs = (sum(row[name] for row in drawn) for name in ("tokens", "epochs"))
            rows.append(_drawn(TOTAL, stream, tokens, epochs, sum(totals.values())))
    return Table(("Stage", "Text", "Tokens", "Epochs", "Share of the stage"), rows, left=(0, 1))


def _drawn(stage: str, stream: str, tokens: int, epochs: float, total: int) -> tuple[str, ...]:
    share = words.percent(tokens / total) if total else words.NOTHING
    return (stage, words.name(stream), words.count(tokens), words.small(epochs), share)


def _scores(material: Material, code: str) -> Table:
    rows = []
    for row in material.scores:
        if row["language"] == code:
            _, *rest = metrics.cells(row)
            rows.append((metrics.label(row), model_name(row["model"]), *rest))
    _, *names = metrics.CELL_NAMES
    return Table(("Measure", "Model", *names), rows, left=(0, 1, 5))


def confusion(material: Material, code: str) -> Table | None:
    """In which languages the answers were that should have been in this one."""
    answers = [row for row in material.answers if row["language"] == code]
    labels: dict[str, list[Row]] = {}
    for row in answers:
        labels.setdefault(row["identified_label"], []).append(row)
    if not answers or all(row["in_language"] is None for row in answers):
        return None
    ordered = sorted(labels.items(), key=lambda each: (-len(each[1]), each[0]))
    rows = [
        (
            label or "no letters to tell by",
            "yes" if group[0]["in_language"] else "no",
            words.count(len(group)),
            words.percent(len(group) / len(answers)),
        )
        for label, group in ordered
    ]
    return Table(("Identified as", "The language asked for", "Answers", "Share"), rows, left=(0, 1))


def overview(material: Material, languages: Sequence[str]) -> Table:
    """Every language in one row, to sort and to choose from."""
    bits = score_rows(material, "bits_per_byte", "bits_per_byte", "base")
    gains = score_rows(material, "bits_per_byte", "gain_over_unigram_percent", "base")
    chrf = score_rows(material, "translation", "chrf_from_english", "chat")
    right = score_rows(material, "answers", "in_language_share", "chat")
    parity = {row["language"]: row["parity"] for row in material.fertility}
    kept = {row["language"]: row for row in material.kept}

    def shown(rows: dict[str, Row], code: str) -> str:
        row = rows.get(code)
        return words.NOTHING if row is None else metrics.metric(row).value(row["value"])

    rows = []
    for code in languages:
        drawn = _read(material, code)
        rows.append(
            (
                words.name(code),
                words.percent(filtering.kept_share(material, code)),
                words.size(kept[code]["bytes"]),
                words.count(sum(row["tokens"] for row in drawn)) if drawn else words.NOTHING,
                words.small(sum(row["epochs"] for row in drawn)) if drawn else words.NOTHING,
                words.decimal(parity.get(code)),
                *(shown(table, code) for table in (bits, gains, chrf, right)),
            )
        )
    return Table(
        (
            *("Language", "Text kept", "To train on", "Tokens read", "Epochs", "Tokens vs English"),
            *("Bits per byte", "Saved by learning", "chrF from English", "In the language"),
        ),
        rows,
        links=tuple(f"#{card_id(code)}" for code in languages),
    )
