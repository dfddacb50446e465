"""Parts of the `instruct` section: texts under headings, and what the set is composed of."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, field_validator, model_validator

from polylm_core.languages import LanguageCode, known_code
from polylm_core.stages.base import StageConfig

CROSS_LINGUAL = "cross-lingual"
"""The share of the cross-lingual tasks, whichever languages they are in."""


class HeadedConfig(StageConfig):
    """Questions made of headings, whose answers are the paragraphs under them, in both languages.

    A heading is a short unit that no sentence's end closes, followed by a unit that one does.
    """

    sources: tuple[str, ...] = Field(min_length=1)
    """Sources of documentation, in which a unit's position is its place in the document."""
    per_language: int = Field(ge=0)
    """Questions each language gets to learn from."""
    held_out_per_language: int = Field(default=0, ge=0)
    """Questions each language gets to be evaluated with, from held-out documents."""
    max_heading_words: int = Field(default=8, ge=1)
    min_answer_words: int = Field(default=5, ge=1)
    max_answer_words: int = Field(default=60, ge=1)
    """Paragraphs are added to the answer as long as they stay below, on either side."""


class CompositionConfig(StageConfig):
    """What the whole set is composed of, after everything that makes instructions."""

    shares: dict[str, float] = Field(default_factory=dict)
    """Share of the rows for `cross-lingual` and, of all other rows, for languages by their code;
    BayLing 2 has zho_Hans 0.432, eng_Latn 0.262, cross-lingual 0.306. Rows that belong to none of
    them are left out. Where one has too few rows, the set is the largest that keeps the shares."""
    share_tolerance: float = Field(default=0.0, ge=0, lt=1)
    """How far each share may be off, for a larger set where one has too few rows."""
    max_per_language: int | None = Field(default=None, ge=1)
    """Rows with an answer in one language."""
    max_by_language: dict[LanguageCode, int] = Field(default_factory=dict)
    """Other numbers for some languages, such as the hubs."""

    @field_validator("shares", mode="after")
    @classmethod
    def _shares_of_one(cls, shares: dict[str, float]) -> dict[str, float]:
        for name, share in shares.items():
            if name != CROSS_LINGUAL:
                known_code(name)
            if not 0 < share <= 1:
                raise ValueError(f"{name}: a share is above 0 and at most 1 (got {share})")
        if shares and not math.isclose(total := sum(shares.values()), 1, abs_tol=1e-3):
            raise ValueError(f"the shares add to {total:g}; make them add to 1")
        return shares

    @model_validator(mode="after")
    def _none_below_zero(self) -> Self:
        for code, number in self.max_by_language.items():
            if number < 0:
                raise ValueError(f"max_by_language: {code}: at least 0 (got {number})")
        return self
