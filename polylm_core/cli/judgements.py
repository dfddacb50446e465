"""`polylm judgements`: means by file and category from raw judgement files such as TaCo's.

A file is a JSON list with one object a question: `id`, `category`, `judgement` (the judge's words)
and `rating_in_number`, the rating its authors recorded. Published means are of the recorded ones;
what the words say is shown beside them, and where the two differ the question is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from polylm_core.errors import SourceError

SAMPLES = 10_000
"""Bootstrap resamples behind an interval."""
SEED = 1234
ENDING_CHARACTERS = 60
"""Of a judgement that holds no rating, what is shown of its end."""


class _Row(BaseModel):
    """One judged answer; other fields are of no use here."""

    id: int
    category: str = Field(min_length=1)
    judgement: str
    rating_in_number: float = Field(allow_inf_nan=False)
    """TaCo's Nepali file has numbers, the Persian one the same as text."""
    got_rating: bool = True


_ROWS = TypeAdapter(list[_Row])


@dataclass(frozen=True)
class Mean:
    """A mean of ratings."""

    value: float
    low: float
    high: float
    items: int


@dataclass(frozen=True)
class Judged:
    """What one file says."""

    name: str
    recorded: Mean
    by_text: Mean | None
    """Of the ratings found in the judge's words; none when no words hold one."""
    by_category: dict[str, Mean]
    """Of the recorded ratings."""
    remarks: list[str]
    """What does not fit together, by question."""


def lines(folder: Path) -> list[str]:
    """Return the tables of all judgement files of a folder, or of one file; raises SourceError."""
    found, others = _read_all(folder)
    return [*_means(found), "", *_categories(found), "", *_remarks(found, others)]


def as_json(folder: Path) -> str:
    """Return the same as JSON, means in full; raises SourceError."""
    found, others = _read_all(folder)
    content = {"files": {row.name: _plain(row) for row in found}, "other_files": others}
    return json.dumps(content, indent=1, ensure_ascii=False)


def _plain(judged: Judged) -> dict[str, Any]:
    return {
        "recorded": vars(judged.recorded),
        "by_text": None if judged.by_text is None else vars(judged.by_text),
        "by_category": {name: vars(mean) for name, mean in judged.by_category.items()},
        "remarks": judged.remarks,
    }


def _read_all(folder: Path) -> tuple[list[Judged], list[str]]:
    """Every judgement file, and the names of the files that hold something else."""
    files = [folder] if folder.is_file() else sorted(folder.glob("*.json"))
    if not files:
        raise SourceError(f"{folder}: no *.json file; name a folder of judgements, or one file")
    found = [_read(file) for file in files]
    others = [] if folder.is_file() else sorted(p.name for p in folder.iterdir() if p not in files)
    return found, others


def _read(file: Path) -> Judged:
    try:
        rows = _ROWS.validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "(file)"
        raise SourceError(
            f"{file}: {error.error_count()} problems, the first at {place}: {first['msg']}; a "
            "judgement file is a list of objects with id, category, judgement, rating_in_number"
        ) from error
    recorded = [row for row in rows if row.got_rating]
    if not recorded:
        raise SourceError(f"{file}: holds no recorded rating; name another file")
    return _judged(file.name, rows, recorded)


def _judged(name: str, rows: Sequence[_Row], recorded: Sequence[_Row]) -> Judged:
    from polylm_core.stages.evaluate.ratings import parse_rating  # numpy is not for other commands

    said = [parse_rating(row.judgement) for row in rows]
    rated = [rating for rating in said if rating is not None]
    categories = dict.fromkeys(sorted(row.category for row in recorded))
    return Judged(
        name,
        recorded=_mean([row.rating_in_number for row in recorded]),
        by_text=_mean(rated) if rated else None,
        by_category={
            category: _mean([row.rating_in_number for row in recorded if row.category == category])
            for category in categories
        },
        remarks=list(_differences(rows, said)),
    )


def _mean(ratings: Sequence[float]) -> Mean:
    from polylm_core.stages.evaluate.ratings import mean_rating

    value, low, high = mean_rating(ratings, samples=SAMPLES, seed=(SEED, "judgements"))
    return Mean(value, low, high, len(ratings))


def _differences(rows: Sequence[_Row], said: Sequence[float | None]) -> Iterator[str]:
    for row, found in zip(rows, said, strict=True):
        if not row.got_rating:
            yield f"question {row.id}: no rating was recorded; it is not in the mean"
        elif found is None:
            ending = " ".join(row.judgement.split())[-ENDING_CHARACTERS:]
            yield (
                f"question {row.id}: recorded {row.rating_in_number:g}; the judgement holds no "
                f"[[rating]] and ends: {ending}"
            )
        elif found != row.rating_in_number:
            recorded = f"{row.rating_in_number:g}"
            yield f"question {row.id}: recorded {recorded}; the judgement says {found:g}"


def _means(found: Sequence[Judged]) -> Iterator[str]:
    width = max(len(row.name) for row in found)
    yield f"{'file':{width}}  {'items':>5}  {'mean':>5}  {'95 % interval':>13}  by the text"
    for row in found:
        mean, text = row.recorded, row.by_text
        by_text = "-" if text is None else f"{text.value:.2f} of {text.items}"
        yield (
            f"{row.name:{width}}  {mean.items:5}  {mean.value:5.2f}  "
            f"{mean.low:5.2f} to {mean.high:4.2f}  {by_text}"
        )


def _categories(found: Sequence[Judged]) -> Iterator[str]:
    names = sorted({name for row in found for name in row.by_category})
    first = max(len("category"), *map(len, names))
    widths = [max(len(row.name), len("10.00 (80)")) for row in found]
    heads = (f"{row.name:>{width}}" for row, width in zip(found, widths, strict=True))
    yield "  ".join([f"{'category':{first}}", *heads])
    for name in names:
        means = [row.by_category.get(name) for row in found]
        shown = ["-" if mean is None else f"{mean.value:.2f} ({mean.items})" for mean in means]
        cells = (f"{cell:>{width}}" for cell, width in zip(shown, widths, strict=True))
        yield "  ".join([f"{name:{first}}", *cells])


def _remarks(found: Sequence[Judged], others: Sequence[str]) -> Iterator[str]:
    for row in found:
        yield f"{row.name}: {len(row.remarks)} ratings and judgements do not agree"
        yield from (f"  {remark}" for remark in row.remarks)
    if others:
        yield f"not read, as they are no *.json: {', '.join(others)}"
