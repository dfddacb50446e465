"""The report's charts and tables, one function a section.

Each chart goes with the table of its numbers: for readers who cannot see it, and to copy from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from polylm_core.languages import get_language
from polylm_core.stages.report import figures, words
from polylm_core.stages.report.blocks import Figure, Table
from polylm_core.stages.report.material import Material
from polylm_core.stages.report.reading import Row

LARGEST_REASONS = 7
"""Reasons that get a colour; the rest share one, and the table has them all."""
PAIRS = "aligned pairs"


def sources(material: Material) -> Table:
    """What the training text was made of."""
    rows = [
        (
            row["source"],
            row["license"],
            words.count(row["languages"]) if row["languages"] else "identified later",
            words.count(row["documents"]),
            words.size(row["bytes"]),
            words.count(row["pairs"]),
            row["identity"][:12],
        )
        for row in material.sources
    ]
    names = ("Source", "Licence", "Languages", "Documents", "Text", "Pairs", "Pinned by")
    return Table(names, rows, left=(0, 1, 6))


def attrition(material: Material, languages: Sequence[str]) -> Figure:
    """Text kept and left out, by language and reason, in bytes."""
    dropped: dict[tuple[str, str], int] = {}
    for row in material.attrition:
        if row["kind"] != "pairs" and row["language"] in languages:
            key = (row["language"], row["reason"])
            dropped[key] = dropped.get(key, 0) + row["bytes"]
    totals: dict[str, int] = {}
    for (_, reason), size in dropped.items():
        totals[reason] = totals.get(reason, 0) + size
    reasons = sorted(totals, key=lambda reason: (-totals[reason], reason))
    largest, others = reasons[: LARGEST_REASONS - 2], reasons[LARGEST_REASONS - 2 :]
    kept = {row["language"]: row for row in material.kept}
    series: dict[str, list[float]] = {
        "kept": [kept[code]["bytes"] / 1e6 for code in languages],
        "held out for evaluation": [kept[code]["held_out_bytes"] / 1e6 for code in languages],
    }
    for reason in largest:
        series[reason] = [dropped.get((code, reason), 0) / 1e6 for code in languages]
    if others:
        series["other reasons"] = [
            sum(dropped.get((code, reason), 0) for reason in others) / 1e6 for code in languages
        ]
    names = [words.name(code) for code in languages]
    total_kept = sum(row["bytes"] + row["held_out_bytes"] for row in material.kept)
    share = total_kept / (total_kept + sum(dropped.values()))
    return Figure(
        id="attrition",
        chart=figures.bars(names, series, measure="Text in MB"),
        caption=f"Curation kept {words.percent(share)} of the text. Everything else left for a "
        "counted reason.",
        alt=f"Bars by language: text kept, held out, and dropped by reason; {words.percent(share)} "
        "is kept overall.",
        table=_attrition_table(languages, kept, dropped, reasons),
    )


def _attrition_table(
    languages: Sequence[str],
    kept: Mapping[str, Row],
    dropped: Mapping[tuple[str, str], int],
    reasons: Sequence[str],
) -> Table:
    rows = []
    for code in languages:
        own = kept[code]
        lost = [dropped.get((code, reason), 0) for reason in reasons]
        whole = own["bytes"] + own["held_out_bytes"] + sum(lost)
        rows.append(
            (
                words.name(code),
                words.percent((own["bytes"] + own["held_out_bytes"]) / whole),
                words.size(own["bytes"]),
                words.size(own["held_out_bytes"]),
                *(words.size(size) if size else words.NOTHING for size in lost),
            )
        )
    return Table(("Language", "Kept", "To train on", "Held out", *reasons), rows)


def pairs(material: Material, languages: Sequence[str]) -> Figure:
    """Aligned pairs kept, and those left out by filter."""
    lost: dict[tuple[str, str], int] = {}
    for row in material.attrition:
        if row["kind"] == "pairs" and row["language"] in languages:
            key = (row["language"], row["reason"])
            lost[key] = lost.get(key, 0) + row["items"]
    kept = {row["language"]: row["pairs"] for row in material.kept}
    shown = [code for code in languages if kept[code]]
    reasons = sorted({reason for _, reason in lost})
    series: dict[str, list[float]] = {"kept": [kept[code] for code in shown]}
    if reasons:
        series["left out"] = [
            sum(lost.get((code, reason), 0) for reason in reasons) for code in shown
        ]
    rows = [
        (
            words.name(code),
            words.count(kept[code]),
            *(words.count(lost.get((code, reason), 0)) for reason in reasons),
        )
        for code in shown
    ]
    names = [words.name(code) for code in shown]
    return Figure(
        id="pairs",
        chart=figures.bars(names, series, measure="Pairs"),
        caption="Sentences with their English counterpart: what translation is learned from.",
        alt=f"Bars by language: pairs kept, {words.count(sum(kept.values()))} in all.",
        table=Table(("Language", "Kept", *reasons), rows),
    )


def parity(material: Material, languages: Sequence[str]) -> Figure:
    """Tokens of each language for the same sentences, beside English."""
    by_language = _fertility(material, languages)
    values = {code: row["parity"] for code, row in by_language.items()}
    worst = max((value for value in values.values() if value is not None), default=1.0)
    return Figure(
        id="parity",
        chart=figures.dots(
            [words.name(code) for code in by_language],
            {
                "tokens": [
                    None if value is None else figures.Span(value) for value in values.values()
                ]
            },
            measure="Tokens for the same sentences; English is 1",
            line_at=(1.0, "English"),
        ),
        caption="The same sentences cost more tokens in some languages, and so more of the "
        "context and of the training budget.",
        alt=f"Dots by language; the costliest takes {worst:.2f} times English's tokens.",
        table=_parity_table(by_language),
    )


def bytes_per_token(material: Material, languages: Sequence[str]) -> Figure:
    """Text that a token covers."""
    by_language = _fertility(material, languages)
    return Figure(
        id="bytes-per-token",
        chart=figures.bars(
            [words.name(code) for code in by_language],
            {"bytes": [row["bytes_per_token"] for row in by_language.values()]},
            measure="Bytes a token",
        ),
        caption="Text that one token covers, on held-out documents. Scripts of two or three "
        "bytes a character start higher.",
        alt="Bars by language: mean bytes of text in one token.",
        table=_coverage_table(by_language),
    )


def _fertility(material: Material, languages: Sequence[str]) -> dict[str, Row]:
    """Rows of `fertility.parquet` by language, in the recipe's order."""
    by_language = {row["language"]: row for row in material.fertility}
    return {code: by_language[code] for code in languages if code in by_language}


def _parity_table(by_language: Mapping[str, Row]) -> Table:
    rows = []
    for code, row in by_language.items():
        unit = "word" if get_language(code).words == "spaces" else "character"
        rows.append(
            (
                words.name(code),
                words.decimal(row["parity"]),
                f"{row['tokens_per_word']:.2f} a {unit}",
            )
        )
    return Table(("Language", "Tokens vs English", "Tokens"), rows)


def _coverage_table(by_language: Mapping[str, Row]) -> Table:
    rows = [
        (
            words.name(code),
            words.decimal(row["bytes_per_token"]),
            words.percent(row["byte_fallback_share"]),
        )
        for code, row in by_language.items()
    ]
    return Table(("Language", "Bytes a token", "Spelled in bytes"), rows)


def mixture(material: Material, languages: Sequence[str]) -> Figure:
    """Share of each language in each stage of the curriculum; pairs together."""
    stages = list(dict.fromkeys(row["stage"] for row in material.mixture))
    labels = [*(words.name(code) for code in languages), PAIRS]
    series = {}
    for stage in stages:
        drawn = [row for row in material.mixture if row["stage"] == stage]
        total = sum(row["tokens"] for row in drawn)
        by_stream = {row["stream"]: row["tokens"] for row in drawn}
        shares = [by_stream.get(code, 0) for code in languages]
        series[stage] = [100 * share / total for share in (*shares, total - sum(shares))]
    rows = [
        (
            row["stage"],
            words.name(row["stream"]),
            words.count(row["tokens"]),
            words.small(row["epochs"]),
        )
        for row in material.mixture
    ]
    return Figure(
        id="mixture",
        chart=figures.bars(
            labels, series, measure="Share of a stage's tokens in %", side_by_side=True
        ),
        caption=f"What is read in {_stages(stages)}.",
        alt="Bars by language: its share of the tokens of each curriculum stage.",
        table=Table(("Stage", "Stream", "Tokens", "Epochs"), rows, left=(0, 1)),
    )


def _stages(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"one stage: {names[0]}"
    return f"{len(names)} stages, one after another: {words.listed(list(names))}"


def funnel(material: Material) -> Figure:
    """What became of the teacher's answers, by language; or of everything, without a teacher."""
    generated = [row for row in material.funnel if row["origin"] == "self-instruct"]
    shown, key = (generated, "language") if generated else (material.funnel, "origin")
    labels = list(dict.fromkeys(row[key] for row in shown))
    reasons = sorted(
        {row["reason"] for row in shown}, key=lambda reason: (reason != "kept", reason)
    )
    sums: dict[tuple[str, str], int] = {}
    for row in shown:
        at = (row[key], row["reason"])
        sums[at] = sums.get(at, 0) + row["count"]
    names = [words.name(label) if key == "language" else label for label in labels]
    kept = sum(sums.get((label, "kept"), 0) for label in labels)
    asked = sum(sums.values())
    what = "of the teacher's tasks" if generated else "of the instructions looked at"
    return Figure(
        id="funnel",
        chart=figures.bars(
            names,
            {reason: [sums.get((label, reason), 0) for label in labels] for reason in reasons},
            measure="Tasks the teacher wrote" if generated else "Instructions",
        ),
        caption=f"{words.count(kept)} {what} passed every filter, of {words.count(asked)}.",
        alt=f"Bars: {words.count(kept)} of {words.count(asked)} kept, the rest by reason.",
        table=_funnel_table(material),
    )


def _funnel_table(material: Material) -> Table:
    """Every origin and reason, over all languages."""
    sums: dict[tuple[str, str], int] = {}
    for row in material.funnel:
        key = (row["origin"], row["reason"])
        sums[key] = sums.get(key, 0) + row["count"]
    ordered = sorted(sums, key=lambda key: (key[0], key[1] != "kept", key[1]))
    rows = [(origin, reason, words.count(sums[origin, reason])) for origin, reason in ordered]
    return Table(("Origin", "Outcome", "Items"), rows, left=(0, 1))
