"""FineWeb-2's filter settings of a language: its YAML files read, as our thresholds, and written.

FineWeb-2 (Penedo et al. 2025, arXiv 2506.20920) publishes `configs/<code>.yml` for 1,900 languages,
fitted to each. Its pipeline adds settings that hold in every language; they are the defaults below.
Names and meanings are datatrove's: 0 turns a repetition rule off, a negative `line_punct_thr` never
objects, and shares of n-grams reach over 1 because n-grams overlap. A whole number stays one, so
that a file is written as it was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from polylm_core.errors import ParamsError, Problem
from polylm_core.settings import describe_validation
from polylm_core.stages.base import StageConfig

Number = int | float
Shares = tuple[tuple[int, Number], ...]
"""Pairs of n and the largest share of characters, as the files have them."""


class FineWebSettings(StageConfig):
    """Every setting of FineWeb-2's filters in one language."""

    language_score: Number = Field(ge=0, le=1)
    """Least probability of the language, by GlotLID."""
    dup_line_frac: Number = Field(ge=0)
    """Most repeated lines, of all lines (GopherRepetitionFilter)."""
    top_n_grams: Shares
    """Most characters in the most frequent n-gram of words, by n."""
    dup_n_grams: Shares
    """Most characters in n-grams of words that occur more than once, by n."""
    line_punct_thr: Number = Field(ge=-1, le=1)
    """Least lines that end in a punctuation mark, of all lines (FineWebQualityFilter)."""
    new_line_ratio: Number = Field(ge=0)
    """Most line ends per word."""
    min_avg_word_length: Number = Field(ge=0)
    """Characters (GopherQualityFilter)."""
    max_avg_word_length: Number = Field(gt=0)
    """Characters."""
    max_non_alpha_words_ratio: Number = Field(ge=0, le=1)
    """Least words with a letter, of all words; datatrove's name says the opposite."""
    stopwords: tuple[str, ...]
    """Words of which running text has `min_stop_words`."""

    dup_para_frac: Number = Field(default=0, ge=0, le=1)
    """Off: trafilatura leaves no paragraphs."""
    dup_line_char_frac: Number = Field(default=0, ge=0, le=1)
    """Off: `char_duplicates_ratio` is asked instead."""
    dup_para_char_frac: Number = Field(default=0, ge=0, le=1)
    short_line_thr: Number = Field(default=999, ge=0)
    """Most short lines, of all lines; 999 is off."""
    short_line_length: int = Field(default=30, ge=0)
    """Characters of a short line (datatrove's default)."""
    line_punct_exclude_zero: bool = False
    """Whether a text of which no line ends in punctuation passes (datatrove's default)."""
    char_duplicates_ratio: Number = Field(default=0.1, ge=0, le=1)
    """Most characters in repeated lines, of all characters (0.01 in English FineWeb)."""
    min_stop_words: int = Field(default=2, ge=0)
    min_doc_words: int = Field(default=50, ge=0)
    """Words (datatrove's default, Gopher's figure), as the next four."""
    max_doc_words: int = Field(default=100_000, gt=0)
    max_symbol_word_ratio: Number = Field(default=0.1, ge=0)
    max_bullet_lines_ratio: Number = Field(default=0.9, ge=0, le=1)
    max_ellipsis_lines_ratio: Number = Field(default=0.3, ge=0, le=1)

    @field_validator("top_n_grams", "dup_n_grams")
    @classmethod
    def _shares_are_shares(cls, value: Shares) -> Shares:
        for n, share in value:
            if n < 1 or share < 0:
                raise ValueError(f"[{n}, {share}] is not a length and a share of characters")
        return value

    @model_validator(mode="after")
    def _word_lengths_are_ordered(self) -> Self:
        if self.min_avg_word_length > self.max_avg_word_length:
            raise ValueError("min_avg_word_length is more than max_avg_word_length")
        return self

    def thresholds(self) -> dict[str, Any]:
        """What replaces the defaults of `RuleThresholds` in this language."""
        return {
            "min_words": self.min_doc_words,
            "max_words": self.max_doc_words,
            "min_mean_word_characters": self.min_avg_word_length,
            "max_mean_word_characters": self.max_avg_word_length,
            "min_alphabetic_word_share": self.max_non_alpha_words_ratio,
            "max_symbol_to_word_ratio": self.max_symbol_word_ratio,
            "max_bullet_line_share": self.max_bullet_lines_ratio,
            "max_ellipsis_line_share": self.max_ellipsis_lines_ratio,
            "max_duplicate_line_share": _unless_off(self.dup_line_frac),
            "max_duplicate_line_character_share": _unless_off(self.char_duplicates_ratio),
            "max_top_ngram_share": dict(self.top_n_grams),
            "max_duplicate_ngram_share": dict(self.dup_n_grams),
        }

    @classmethod
    def of_thresholds(
        cls,
        thresholds: Mapping[str, Any],
        *,
        language_score: Number,
        line_punct_thr: Number,
        new_line_ratio: Number,
        stopwords: tuple[str, ...],
    ) -> Self:
        """The settings that say the same as thresholds of ours (all fields of `RuleThresholds`)."""
        return cls(
            language_score=language_score,
            line_punct_thr=line_punct_thr,
            new_line_ratio=new_line_ratio,
            stopwords=stopwords,
            dup_line_frac=thresholds["max_duplicate_line_share"],
            char_duplicates_ratio=thresholds["max_duplicate_line_character_share"],
            top_n_grams=tuple(sorted(thresholds["max_top_ngram_share"].items())),
            dup_n_grams=tuple(sorted(thresholds["max_duplicate_ngram_share"].items())),
            min_doc_words=thresholds["min_words"],
            max_doc_words=thresholds["max_words"],
            min_avg_word_length=thresholds["min_mean_word_characters"],
            max_avg_word_length=thresholds["max_mean_word_characters"],
            max_non_alpha_words_ratio=thresholds["min_alphabetic_word_share"],
            max_symbol_word_ratio=thresholds["max_symbol_to_word_ratio"],
            max_bullet_lines_ratio=thresholds["max_bullet_line_share"],
            max_ellipsis_lines_ratio=thresholds["max_ellipsis_line_share"],
        )


PUBLISHED = (
    "dup_line_frac",
    "dup_n_grams",
    "language_score",
    "line_punct_thr",
    "max_avg_word_length",
    "max_non_alpha_words_ratio",
    "min_avg_word_length",
    "new_line_ratio",
    "stopwords",
    "top_n_grams",
)
"""What each of FineWeb-2's files says, in their order."""


def load(path: Path) -> FineWebSettings:
    """Read the settings of one language; ParamsError names the file and every wrong key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(str(path), [Problem("(file)", f"cannot be read: {error}")]) from error
    return parse(text, str(path))


def parse(text: str, name: str) -> FineWebSettings:
    """As `load`, of the text of a file called `name`."""
    try:
        content = yaml.load(text, Loader=_Loader)
        return FineWebSettings.model_validate(content)
    except yaml.YAMLError as error:
        raise ParamsError(name, [Problem("(top level)", f"not YAML: {error}")]) from error
    except ValidationError as error:
        raise describe_validation(name, error) from error


def dump(settings: FineWebSettings) -> str:
    """The YAML text of settings, with the keys of FineWeb-2 and those that differ from its own."""
    fields = FineWebSettings.model_fields
    values = settings.model_dump(mode="json")
    shown = {
        key: value
        for key, value in sorted(values.items())
        if key in PUBLISHED or value != fields[key].default
    }
    return yaml.safe_dump(shown)


class _Loader(yaml.SafeLoader):
    """YAML without YAML 1.1's words for yes and no: `on` and `no` are stop words here."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":null"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _unless_off(share: Number) -> Number:
    return min(share, 1) if share > 0 else 1
