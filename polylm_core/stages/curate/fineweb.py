"""FineWeb-2's filter settings of a language, and what they are among our thresholds.

FineWeb-2 (Penedo et al. 2025, arXiv 2506.20920) publishes `configs/<code>.yml` for 1,900 languages,
fitted to each. Its pipeline adds settings that hold in every language; they are the defaults below.
Names and meanings are datatrove's: 0 turns Gopher's rules off, `line_punct_thr` of 0 or less never
objects, and shares of n-grams reach over 1 because n-grams overlap. A whole
number stays one, so that a file is written as it was read (`fineweb_files.py`).

The numbers mean here what they mean there, but what is counted differs in places (`measure.py`,
against datatrove 0.10.1):

- Words stand between spaces; datatrove has a tokenizer for each language, for which a comma is a
  word. So words are a little longer here, more of them have a letter, and an ellipsis or a line end
  weighs a little more. Where no spaces stand between words, characters stand for words, and the
  rules about the inside of a word and about stop words are not asked.
- Stop words are compared without case and punctuation, there as they are written. A stop word that
  a tokenizer cuts off (French `l'`) never stands alone here.
- Lines are counted after the repair: single spaces, nothing invisible, no empty and no repeated
  ones (their shares are those before). `new_line_ratio` counts the line ends that are left, there
  all of them, so that empty lines between paragraphs do not weigh here.
- `char_duplicates_ratio` is a share of the characters of all lines, without line ends, here as
  there. `dup_line_char_frac` and `dup_para_char_frac` are so here too; there they are shares of
  the whole text with its line ends. One threshold holds for the first two: the lower.
- The most frequent n-gram counts from its second occurrence on; there a text shorter than six
  words or so is rejected for an n-gram that stands in it once.
- A sentence's marks are Unicode's in the scripts of the registry with closing quotes and brackets;
  bullets are `•` and `-` there, and some more here.
- `language_score` is GlotLID's probability and no rule: it is for `curate.identify`, if the recipe
  identifies with GlotLID.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

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
    """Most repeated paragraphs, of all; off: trafilatura leaves no paragraphs."""
    dup_line_char_frac: Number = Field(default=0, ge=0, le=1)
    """Off: `char_duplicates_ratio` is asked instead."""
    dup_para_char_frac: Number = Field(default=0, ge=0, le=1)
    """Most characters in repeated paragraphs, of all characters; off."""
    short_line_thr: Number = Field(default=999, ge=0)
    """Most short lines, of all lines; 999 is off."""
    short_line_length: int = Field(default=30, ge=1)
    """Characters of a short line (datatrove's default)."""
    line_punct_exclude_zero: bool = False
    """Whether a text of which no line ends in punctuation passes (datatrove's default)."""
    char_duplicates_ratio: Number = Field(default=0.1, ge=0, le=1)
    """Most characters in repeated lines, of all characters (0.01 in English FineWeb)."""
    min_stop_words: int = Field(default=2, ge=0)
    """Different stop words that running text has."""
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
            "min_words": max(self.min_doc_words, 1),
            "max_words": self.max_doc_words,
            "min_mean_word_characters": self.min_avg_word_length,
            "max_mean_word_characters": self.max_avg_word_length,
            "min_alphabetic_word_share": self.max_non_alpha_words_ratio,
            "max_symbol_to_word_ratio": self.max_symbol_word_ratio or OFF_RATIO,
            "max_bullet_line_share": _most(self.max_bullet_lines_ratio),
            "max_ellipsis_line_share": _most(self.max_ellipsis_lines_ratio),
            "min_stop_words": self.min_stop_words,
            "max_repeated_line_share": _most(self.dup_line_frac),
            "max_repeated_line_character_share": min(
                self.char_duplicates_ratio, _most(self.dup_line_char_frac)
            ),
            "max_repeated_paragraph_share": _most(self.dup_para_frac),
            "max_repeated_paragraph_character_share": _most(self.dup_para_char_frac),
            "max_top_ngram_share": dict(self.top_n_grams),
            "min_top_ngrams": 1,
            "max_duplicate_ngram_share": dict(self.dup_n_grams),
            "min_line_end_share": max(self.line_punct_thr, 0),
            "allow_no_line_end": self.line_punct_exclude_zero,
            "max_short_line_share": min(self.short_line_thr, 1),
            "short_line_characters": self.short_line_length,
            "max_new_line_ratio": self.new_line_ratio,
        }

    @classmethod
    def of_thresholds(
        cls, thresholds: Mapping[str, Any], *, language_score: Number, stopwords: tuple[str, ...]
    ) -> Self:
        """The settings that say the same as thresholds of ours (all fields of `RuleThresholds`).

        FineWeb-2 has no word for `characters_per_word`, `max_digit_share` and `min_script_share`.
        """
        return cls(
            language_score=language_score,
            stopwords=stopwords,
            min_stop_words=thresholds["min_stop_words"] if stopwords else 0,
            line_punct_thr=thresholds["min_line_end_share"] or OFF_LINE_PUNCT,
            line_punct_exclude_zero=thresholds["allow_no_line_end"],
            new_line_ratio=thresholds["max_new_line_ratio"],
            short_line_thr=_short_lines(thresholds["max_short_line_share"]),
            short_line_length=thresholds["short_line_characters"],
            dup_line_frac=_share(thresholds["max_repeated_line_share"]),
            char_duplicates_ratio=thresholds["max_repeated_line_character_share"],
            dup_para_frac=_share(thresholds["max_repeated_paragraph_share"]),
            dup_para_char_frac=_share(thresholds["max_repeated_paragraph_character_share"]),
            top_n_grams=tuple(sorted(thresholds["max_top_ngram_share"].items())),
            dup_n_grams=tuple(sorted(thresholds["max_duplicate_ngram_share"].items())),
            min_doc_words=thresholds["min_words"],
            max_doc_words=thresholds["max_words"],
            min_avg_word_length=thresholds["min_mean_word_characters"],
            max_avg_word_length=thresholds["max_mean_word_characters"],
            max_non_alpha_words_ratio=thresholds["min_alphabetic_word_share"],
            max_symbol_word_ratio=max(thresholds["max_symbol_to_word_ratio"], LEAST_SHARE),
            max_bullet_lines_ratio=_share(thresholds["max_bullet_line_share"]),
            max_ellipsis_lines_ratio=_share(thresholds["max_ellipsis_line_share"]),
        )


OFF_LINE_PUNCT = -1
OFF_SHORT_LINES = 999
OFF_RATIO = 1e9
LEAST_SHARE = 1e-9
"""A threshold of 0 of ours, which rejects what repeats at all, where 0 would turn a rule off."""


def _most(share: Number) -> Number:
    """A share that 0 turns off, as the most that is allowed."""
    return min(share, 1) if share > 0 else 1


def _share(most: Number) -> Number:
    """The most that is allowed, as a share that 0 turns off."""
    return max(most, LEAST_SHARE) if most < 1 else 0


def _short_lines(most: Number) -> Number:
    return most if most < 1 else OFF_SHORT_LINES
