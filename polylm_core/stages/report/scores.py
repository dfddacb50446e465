"""Charts of the scores, each beside what no skill at all would score."""

from __future__ import annotations

from collections.abc import Sequence

from polylm_core.stages.report import figures, metrics, words
from polylm_core.stages.report.blocks import (
    DIRECTIONS,
    MODEL_NAMES,
    Figure,
    Table,
    score_rows,
)
from polylm_core.stages.report.material import Material
from polylm_core.stages.report.reading import Row

COUNTING = "counting tokens (baseline)"
UNTOUCHED = "source left as it is (from English)"


def _span(row: Row | None, factor: float = 1) -> figures.Span | None:
    if row is None:
        return None
    low, high = row["low"], row["high"]
    return figures.Span(
        factor * row["value"],
        None if low is None else factor * low,
        None if high is None else factor * high,
    )


def bits_per_byte(material: Material, languages: Sequence[str]) -> Figure:
    """Both models against the unigram baseline."""
    scores = {
        model: score_rows(material, "bits_per_byte", "bits_per_byte", model)
        for model in MODEL_NAMES
    }
    base = scores["base"]
    shown = [code for code in languages if code in base]
    series = {
        MODEL_NAMES[model]: [_span(rows.get(code)) for code in shown]
        for model, rows in scores.items()
    }
    series[COUNTING] = [figures.Span(base[code]["baseline"]) for code in shown]
    return Figure(
        id="bits-per-byte",
        chart=figures.dots(
            [words.name(code) for code in shown],
            series,
            measure="Bits per byte; lower is better",
            baselines=(COUNTING,),
        ),
        caption="Bits a model needs for one byte of unseen text, with 95 % intervals. The baseline "
        "knows how often each token occurs, and nothing of their order.",
        alt="Dots by language: base and chat model, and the baseline beside them.",
        table=_bits_table(material, base, scores["chat"], shown),
    )


def _bits_table(
    material: Material, base: dict[str, Row], chat: dict[str, Row], shown: Sequence[str]
) -> Table:
    gains = score_rows(material, "bits_per_byte", "gain_over_unigram_percent", "base")
    rows = [
        (
            words.name(code),
            words.decimal(base[code]["value"]),
            words.interval(base[code]),
            words.decimal(chat[code]["value"]) if code in chat else words.NOTHING,
            words.decimal(base[code]["baseline"]),
            f"{gains[code]['value']:.1f} %" if code in gains else words.NOTHING,
        )
        for code in ("", *shown)
    ]
    return Table(("Language", "Base", "95 % interval", "Chat", "Baseline", "Saved by base"), rows)


def translation(material: Material, languages: Sequence[str]) -> Figure:
    """The chrF of both directions against leaving the source as it is."""
    scores = {
        direction: score_rows(material, "translation", f"chrf_{direction}", "chat")
        for direction in DIRECTIONS
    }
    shown = [code for code in languages if any(code in rows for rows in scores.values())]
    series = {
        label: [_span(scores[direction].get(code)) for code in shown]
        for direction, label in DIRECTIONS.items()
    }
    first = scores["from_english"]
    series[UNTOUCHED] = [
        figures.Span(first[code]["baseline"]) if code in first else None for code in shown
    ]
    return Figure(
        id="translation",
        chart=figures.dots(
            [words.name(code) for code in shown],
            series,
            measure="chrF; the reference itself has 100",
            baselines=(UNTOUCHED,),
        ),
        caption="Held-out sentences translated by the chat model. A score no better than leaving "
        "the English sentence as it is means that the model does not translate.",
        alt="Dots by language: chrF from and into English, beside the copied source.",
        table=_translation_table(material, scores, shown),
    )


def _translation_table(
    material: Material, scores: dict[str, dict[str, Row]], shown: Sequence[str]
) -> Table:
    bleu = {d: score_rows(material, "translation", f"bleu_{d}", "chat") for d in DIRECTIONS}
    rows = [
        (
            words.name(code),
            *(
                cell
                for d in DIRECTIONS
                for cell in _translation_cells(scores[d].get(code), bleu[d].get(code))
            ),
        )
        for code in ("", *shown)
    ]
    heads = [
        head
        for label in DIRECTIONS.values()
        for head in (f"chrF {label}", "95 % interval", "Source as it is", f"BLEU {label}")
    ]
    return Table(("Language", *heads), rows)


def _translation_cells(chrf: Row | None, bleu: Row | None) -> tuple[str, str, str, str]:
    none = words.NOTHING
    return (
        words.decimal(chrf["value"], 1) if chrf else none,
        words.interval(chrf, 1) if chrf else none,
        words.decimal(chrf["baseline"], 1) if chrf else none,
        words.decimal(bleu["value"], 1) if bleu else none,
    )


def choice(material: Material, languages: Sequence[str]) -> Figure:
    """Accuracy of choosing the translation out of four, beside chance."""
    rows_by = score_rows(material, "translation_choice", "acc_norm", "base")
    plain = score_rows(material, "translation_choice", "acc", "base")
    shown = [code for code in languages if code in rows_by]
    baseline = next((row["baseline"] for row in rows_by.values()), 0.25)
    rows = [
        (
            words.name(code),
            words.percent(rows_by[code]["value"]),
            words.interval(rows_by[code], 0, 100),
            words.percent(plain[code]["value"]) if code in plain else words.NOTHING,
            words.count(rows_by[code]["items"]),
            metrics.verdict(rows_by[code]),
        )
        for code in ["", *shown]
        if code in rows_by
    ]
    return Figure(
        id="choice",
        chart=figures.dots(
            [words.name(code) for code in shown],
            {"right": [_span(rows_by[code], 100) for code in shown]},
            measure="Right answers in %",
            line_at=(100 * baseline, "chance"),
        ),
        caption="The base model picks the translation of an English sentence out of four of like "
        "length (lm-evaluation-harness, accuracy by log-likelihood a character). Where the "
        "interval reaches chance, the model shows no skill.",
        alt=f"Dots by language with intervals, and chance at {100 * baseline:.0f} percent.",
        table=Table(
            ("Language", "Right", "95 % interval", "Right, not by length", "Items", "Verdict"),
            rows,
        ),
    )


def answers(material: Material, languages: Sequence[str]) -> Figure:
    """Answers in the language asked for, and whether they end."""
    metrics = ("in_language_share", "stopped_share", "identical_share", "median_answer_tokens")
    scores = {metric: score_rows(material, "answers", metric, "chat") for metric in metrics}
    right = scores["in_language_share"]
    shown = [code for code in languages if code in right]
    rows = [
        (
            words.name(code),
            words.percent(right[code]["value"]),
            words.interval(right[code], 0, 100),
            *(words.percent(scores[metric][code]["value"]) for metric in metrics[1:3]),
            words.decimal(scores[metrics[3]][code]["value"], 1),
            words.count(right[code]["items"]),
        )
        for code in ["", *shown]
        if code in right
    ]
    return Figure(
        id="answers",
        chart=figures.dots(
            [words.name(code) for code in shown],
            {"in the language asked for": [_span(right[code], 100) for code in shown]},
            measure="Answers in the language asked for, in %",
        ),
        caption="Answers of the chat model to held-out instructions, their language identified by "
        "fastText's lid.176.",
        alt="Dots by language: share of answers in the language asked for.",
        table=Table(
            (
                *("Asked for", "In that language", "95 % interval", "Ended by itself"),
                *("Repeats another", "Median tokens", "Answers"),
            ),
            rows,
        ),
    )


def why_they_differ(material: Material) -> str:
    """Why bits per byte here are not the last ones of the training curve, in words."""
    trained, scored = material.validated_tokens, material.compression
    if trained is None or scored is None:
        return ""
    return (
        "These figures are not the last points of the curve under Training, and need not equal "
        f"them. That curve reads the first {words.count(trained)} held-out tokens of a language "
        "in rows of the model's context: a row may begin in the middle of a document, with nothing "
        "before its first token, and the ends of documents count as tokens to predict. Here each "
        "document begins afresh, its first "
        f"{words.count(scored['max_bytes_per_document'])} bytes at most are read, up to "
        f"{words.count(scored['max_bytes_per_language'])} bytes a language, and a long one in "
        "windows that overlap by half. Compare languages and models within one of the two."
    )
