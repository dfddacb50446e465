"""What the page is built of: charts with their numbers, and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polylm_core.stages.report.material import Material, Row

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


@dataclass(frozen=True)
class Figure:
    """A chart with what it says in words and its numbers."""

    id: str
    json: str
    caption: str
    alt: str
    table: Table


def score_rows(material: Material, suite: str, metric: str, model: str) -> dict[str, Row]:
    """Scores by language."""
    return {
        row["language"]: row
        for row in material.scores
        if (row["suite"], row["metric"], row["model"]) == (suite, metric, model)
    }
