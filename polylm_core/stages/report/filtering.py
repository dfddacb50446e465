"""What curation did to one language, filter by filter, with texts of both sides."""

from __future__ import annotations

from dataclasses import dataclass

from polylm_core.languages import ENGLISH
from polylm_core.stages.report import words
from polylm_core.stages.report.blocks import Table
from polylm_core.stages.report.material import Material
from polylm_core.stages.report.reading import Row

SAMPLE_CHARACTERS = 160
"""Of a sample: enough to see why it was left out, little enough for one file of all of them."""


@dataclass(frozen=True)
class Piece:
    """A text that was kept or left out."""

    reason: str
    texts: tuple[tuple[str, str, str], ...]
    """Each side's text with its language tag and its direction."""


@dataclass(frozen=True)
class SampleGroup:
    """Texts of one filter and verdict."""

    title: str
    pieces: tuple[Piece, ...]


def kept_share(material: Material, code: str) -> float | None:
    """Share of the bytes of a language's documents that were kept; none where it had none."""
    kept = next(row for row in material.kept if row["language"] == code)
    own = kept["bytes"] + kept["held_out_bytes"]
    lost = sum(
        row["bytes"]
        for row in material.attrition
        if row["language"] == code and row["kind"] != "pairs"
    )
    return own / (own + lost) if own + lost else None


def filters(material: Material, code: str) -> Table:
    """Items into and out of each filter, with the reasons, in the order of the filters."""
    reasons: dict[tuple[str, str], list[Row]] = {}
    for row in material.attrition:
        if row["language"] == code:
            reasons.setdefault((row["kind"], row["filter"]), []).append(row)
    rows = []
    for row in material.passages:
        if row["language"] != code:
            continue
        lost = reasons.pop((row["kind"], row["filter"]), [])
        removed = row["items_in"] - row["items_out"]
        share = words.percent(removed / row["items_in"]) if row["items_in"] else words.NOTHING
        rows.append(
            (row["kind"], row["filter"], words.count(row["items_in"]), words.count(removed), share,
             words.size(sum(each["bytes"] for each in lost)), _because(lost))
        )  # fmt: skip
    # Lines leave out of documents that stay, so no filter has them going in.
    for (kind, name), lost in reasons.items():
        items, size = (sum(each[column] for each in lost) for column in ("items", "bytes"))
        rows.append(
            (
                kind,
                name,
                words.NOTHING,
                words.count(items),
                words.NOTHING,
                words.size(size),
                _because(lost),
            )
        )
    names = ("Of", "Filter", "In", "Left out", "Share", "Text left out", "Reasons")
    return Table(names, rows, left=(0, 1, 6))


def _because(lost: list[Row]) -> str:
    ordered = sorted(lost, key=lambda row: (-row["items"], row["reason"]))
    return ", ".join(f"{row['reason']} {words.count(row['items'])}" for row in ordered) or (
        words.NOTHING
    )


def samples(material: Material, code: str) -> list[SampleGroup]:
    """Texts that each filter left out, and texts that all of them let pass."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    last: dict[str, str] = {}
    for row in material.samples:
        if row["language"] == code:
            groups.setdefault((row["kind"], row["filter"], row["verdict"]), []).append(row)
            if row["verdict"] == "kept":
                last[row["kind"]] = row["filter"]
    shown = []
    for (kind, name, verdict), rows in groups.items():
        if verdict == "kept" and last[kind] != name:
            continue  # the last filter's are what all filters let pass
        what = f"{kind} kept by every filter" if verdict == "kept" else f"{kind} left out: {name}"
        pieces = tuple(_piece(row) for row in rows)
        shown.append(SampleGroup(f"{len(pieces)} {what}", pieces))
    return shown


def _piece(row: Row) -> Piece:
    code = row["language"]
    sides = row["text"].split("\n", 1) if row["kind"] == "pairs" else [row["text"]]
    languages = (ENGLISH, code) if row["kind"] == "pairs" else (code,)
    return Piece(
        reason=row["reason"],
        texts=tuple(
            (_shortened(text), words.tag(language), words.direction(language))
            for text, language in zip(sides, languages, strict=False)
        ),
    )


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    if len(text) <= SAMPLE_CHARACTERS:
        return text
    return text[:SAMPLE_CHARACTERS].rstrip() + " …"
