"""Figures that the papers published, to be shown beside our own: one row of `published.tsv` each.

In: nothing. Out: typed rows with their source. Nothing here was measured by this project, and what
a paper shows as a chart only is not here. BayLing 2's results are not either: of it nothing but the
shares of its instructions was found as numbers.

Of some tables of fine-tuned models (25, 28 to 30) only the means over languages were at hand.
"""

from __future__ import annotations

import csv
import functools
from importlib import resources
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from polylm_core.languages import known_code

TABLE = "published.tsv"


class PublishedScore(BaseModel):
    """One published figure."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: str = Field(min_length=1)
    """Paper and table, or page."""
    model: str = Field(min_length=1)
    """As its source calls it."""
    kind: Literal["base", "chat", "translator"]
    """`chat` is any instruction-tuned model."""
    benchmark: str = Field(pattern=r"^[a-z0-9_]+$")
    """`xnli`, `pawsx`, `xwinograd`, `xcopa`, `tydiqa_goldp`, `mtg` (and `mtg_story`, `mtg_title`,
    `mtg_question`, `mtg_summary`), `wmt20`, `wmt22`, `flores101`, `vicuna80`, `round_trip`,
    `instruction_mix`."""
    metric: Literal[
        "acc", "f1", "rouge", "bleu", "spbleu", "chrf++", "ter", "comet", "rating", "percent"
    ]
    """`acc`, `f1` and `rouge` (mean of ROUGE-1, 2 and L) in percent; `rating` from 1 to 10."""
    language: str
    """FLORES-200 code, a direction such as `deu_Latn-eng_Latn`, or empty for several languages."""
    part: str
    """Which languages are meant where `language` is empty (`mean`; `mean-trained`: those among
    PolyLM's 18; `mean-other`: the rest), or the category of `vicuna80`'s questions."""
    shots: int | None
    """Examples in the prompt; none where the source does not say."""
    value: float
    status: Literal["published", "recomputed", "third-party"]
    """`recomputed`: also found again from published raw files. `third-party`: another source than
    the model's authors; trust it less."""
    note: str

    @field_validator("shots", mode="before")
    @classmethod
    def _may_be_empty(cls, shots: str) -> str | None:
        return shots or None

    @field_validator("language")
    @classmethod
    def _is_known(cls, language: str) -> str:
        for code in language.split("-") if language else ():
            known_code(code)
        return language

    @model_validator(mode="after")
    def _says_which_languages(self) -> Self:
        if not self.language and not self.part:
            raise ValueError("needs a language, or a part that says which are meant")
        return self


@functools.cache
def published_scores() -> tuple[PublishedScore, ...]:
    """All published figures, in the order of their papers' tables."""
    text = resources.files(__package__).joinpath(TABLE).read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(PublishedScore.model_validate(row) for row in rows)


def published_for(benchmark: str, language: str | None = None) -> tuple[PublishedScore, ...]:
    """The figures of one benchmark, of one language or direction where it is named."""
    return tuple(
        row
        for row in published_scores()
        if row.benchmark == benchmark and language in (None, row.language)
    )
