"""What the page is built of: charts with their numbers, and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polylm_core.errors import CorruptArtifactError
from polylm_core.stages.report import figures
from polylm_core.stages.report.material import Material
from polylm_core.stages.report.reading import Row

ALL_LANGUAGES = ""
"""The language of a score over all of them."""
CARD_PREFIX = "language-"
"""Of the id of a language's card, so `report.html#language-arb_Arab` opens on it."""
MODEL_NAMES = {"base": "base model", "chat": "chat model"}
DIRECTIONS = {"from_english": "from English", "into_english": "into English"}
"""The suffixes of the translation metrics."""


@dataclass(frozen=True)
class Table:
    """A table; cells are text."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    left: tuple[int, ...] = (0,)
    """Columns that hold words; the others hold figures."""
    links: tuple[str, ...] = ()
    """Where the first cell of each row leads on this page; none where nothing leads on."""

    @property
    def linked(self) -> list[tuple[tuple[str, ...], str]]:
        """The rows, each with where it leads or an empty text."""
        return list(zip(self.rows, self.links or [""] * len(self.rows), strict=True))


@dataclass(frozen=True)
class Figure:
    """A chart with what it says in words and its numbers."""

    id: str
    chart: figures.Chart
    caption: str
    alt: str
    table: Table


def model_name(model: str) -> str:
    """What a model is called; another than the two keeps its name."""
    return MODEL_NAMES[model] if model in MODEL_NAMES else model


def score_rows(material: Material, suite: str, metric: str, model: str) -> dict[str, Row]:
    """Scores by language."""
    return {
        row["language"]: row
        for row in material.scores
        if (row["suite"], row["metric"], row["model"]) == (suite, metric, model)
    }


def overall(material: Material, suite: str, metric: str, model: str) -> Row:
    """The score over all languages; raises CorruptArtifactError when `evaluate` left it out."""
    rows = score_rows(material, suite, metric, model)
    if ALL_LANGUAGES not in rows:
        raise CorruptArtifactError(
            f"scores.parquet: no {metric} of {suite} over all languages for the {model} model, "
            "which the report needs; run `dvc repro --force evaluate`"
        )
    return rows[ALL_LANGUAGES]
