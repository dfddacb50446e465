"""`polylm judgements`: means by file and category from raw judgement files such as TaCo's.

A file is a JSON list with one object a question: `id`, `category`, `judgement` (the judge's words)
and `rating_in_number`, the rating its authors recorded. Published means are of the recorded ones;
what the words say is shown beside them, and where the two differ the question is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    remarks: list[dict[str, Any]]
    """What does not fit together, a row a question."""


def content(folder: Path, *, digits: int | None = None) -> dict[str, Any]:
    """Return means and categories of all judgement files of a folder, or of one file.

    `digits` rounds the means. Raises SourceError.
    """
    found, others = _read_all(folder)

    def shown(value: float) -> float:
        return value if digits is None else round(value, digits)

    return {
        "means": [_mean_row(row, shown) for row in found],
        "categories": list(_categories(found, shown)),
        "disagreements": [remark for row in found for remark in row.remarks],
        "not_read": others,
    }


def _mean_row(judged: Judged, shown: Callable[[float], float]) -> dict[str, Any]:
    mean, text = judged.recorded, judged.by_text
    return {
        "file": judged.name,
        "items": mean.items,
        "mean": shown(mean.value),
        "low": shown(mean.low),
        "high": shown(mean.high),
        "mean_by_text": None if text is None else shown(text.value),
        "items_by_text": 0 if text is None else text.items,
    }


def _categories(
    found: Sequence[Judged], shown: Callable[[float], float]
) -> Iterator[dict[str, Any]]:
    for name in sorted({name for row in found for name in row.by_category}):
        means = {row.name: row.by_category[name] for row in found if name in row.by_category}
        items = sorted({mean.items for mean in means.values()})
        values = {file: shown(mean.value) for file, mean in means.items()}
        yield {"category": name, "items": items, **values}


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
        remarks=list(_differences(name, rows, said)),
    )


def _mean(ratings: Sequence[float]) -> Mean:
    from polylm_core.stages.evaluate.ratings import mean_rating

    value, low, high = mean_rating(ratings, samples=SAMPLES, seed=(SEED, "judgements"))
    return Mean(value, low, high, len(ratings))


def _differences(
    name: str, rows: Sequence[_Row], said: Sequence[float | None]
) -> Iterator[dict[str, Any]]:
    for row, found in zip(rows, said, strict=True):
        seen = {"file": name, "question": row.id, "recorded": row.rating_in_number}
        if not row.got_rating:
            yield {**seen, "recorded": None, "in_text": found, "remark": "not in the mean"}
        elif found is None:
            ending = " ".join(row.judgement.split())[-ENDING_CHARACTERS:]
            remark = f"no [[rating]] in the judgement, which ends: {ending}"
            yield {**seen, "in_text": None, "remark": remark}
        elif found != row.rating_in_number:
            yield {**seen, "in_text": found, "remark": "the judgement says another"}
