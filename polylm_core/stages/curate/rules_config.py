"""Thresholds of the quality and repetition rules, each with the paper it is from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from polylm_core.languages import load_languages
from polylm_core.stages.base import StageConfig
from polylm_core.stages.curate.fineweb import FineWebSettings
from polylm_core.stages.curate.known_languages import THRESHOLDS


class RuleThresholds(StageConfig):
    """Quality and repetition rules; the defaults are Gopher's (Rae et al. 2021, §A1.1).

    Those that Gopher has not are off by default: FineWeb's (Penedo et al. 2024, arXiv 2406.17557
    §3.5), which FineWeb-2 published for a thousand languages (arXiv 2506.20920), and two of PolyLM
    §3.1, which names the rules and not their thresholds.
    """

    characters_per_word: int = Field(default=2, ge=1)
    """Characters that count as a word where no spaces stand between words."""
    min_words: int = Field(default=50, ge=1)
    """Words that are not punctuation or symbols alone."""
    max_words: int = Field(default=100_000, gt=0)
    min_mean_word_characters: float = Field(default=3, ge=0)
    max_mean_word_characters: float = Field(default=10, gt=0)
    min_alphabetic_word_share: float = Field(default=0.8, ge=0, le=1)
    """Words with at least one letter, of all words."""
    max_symbol_to_word_ratio: float = Field(default=0.1, ge=0)
    """Hash signs or ellipses, per word."""
    max_bullet_line_share: float = Field(default=0.9, ge=0, le=1)
    max_ellipsis_line_share: float = Field(default=0.3, ge=0, le=1)
    min_stop_words: int = Field(default=2, ge=0)
    """Different stop words that running text has; asked where a language has a list of them."""
    max_digit_share: float = Field(default=0.2, ge=0, le=1)
    """Digits, of all characters but spaces (PolyLM §3.1 has the rule, not its threshold)."""
    min_script_share: float = Field(default=0.5, ge=0, le=1)
    """Letters of the language's own script, of all letters (PolyLM §3.1 has no such rule)."""
    max_repeated_line_share: float = Field(default=0.3, ge=0, le=1)
    """Lines that stood in the document before, of its lines."""
    max_repeated_line_character_share: float = Field(default=0.2, ge=0, le=1)
    max_repeated_paragraph_share: float = Field(default=0.3, ge=0, le=1)
    """Paragraphs (between empty lines) that stood in the document before."""
    max_repeated_paragraph_character_share: float = Field(default=0.2, ge=0, le=1)
    max_top_ngram_share: Mapping[int, float] = {2: 0.20, 3: 0.18, 4: 0.16}
    """Characters within the most frequent n-gram of words, of all, by n."""
    min_top_ngrams: int = Field(default=2, ge=1)
    """Occurrences from which on the most frequent n-gram counts. datatrove has 1, so that a short
    document of long words is repetitive; FineWeb-2's thresholds go with it."""
    max_duplicate_ngram_share: Mapping[int, float] = {
        5: 0.15,
        6: 0.14,
        7: 0.13,
        8: 0.12,
        9: 0.11,
        10: 0.10,
    }
    """Characters within n-grams of words that stood before, by n; counted without overlap."""
    min_line_end_share: float = Field(default=0.0, ge=0, le=1)
    """Lines that end with a sentence's mark, of all (FineWeb: 0.12)."""
    allow_no_line_end: bool = False
    """Documents in which no line at all ends so are spared (FineWeb-2, for scripts without)."""
    max_short_line_share: float = Field(default=1.0, ge=0, le=1)
    """Lines of at most `short_line_characters` (FineWeb: 0.67)."""
    short_line_characters: int = Field(default=30, ge=1)
    max_new_line_ratio: float = Field(default=1e9, ge=0)
    """Line ends per word: lists (FineWeb: 0.3)."""


class RulesConfig(StageConfig):
    """The rules for all languages, and what is different in single ones.

    Languages without spaces between words are counted in characters instead: so many of them stand
    for a word (`characters_per_word`), and the rules about the inside of a word do not apply.
    """

    default: RuleThresholds
    fineweb2: Mapping[str, FineWebSettings] = {}
    """Files of FineWeb-2 by language, as they are: they replace the default's thresholds, and give
    the stop words of a language that has none in `stop_words` (see `polylm fineweb2`)."""
    by_language: Mapping[str, Mapping[str, Any]] = {}
    """Thresholds that replace the default's and FineWeb-2's, by language."""
    stop_words: Mapping[str, tuple[str, ...]] = {}
    """Words of which running text in a language has some, by language."""

    @model_validator(mode="after")
    def _overrides_are_thresholds(self) -> Self:
        for name in ("fineweb2", "by_language", "stop_words"):
            unknown = sorted(set(getattr(self, name)) - load_languages().keys())
            if unknown:
                raise ValueError(f"{name}: {', '.join(unknown)} is no language of the registry")
        for language in self.by_language:
            self.for_language(language)
        return self

    def for_language(self, language: str) -> RuleThresholds:
        """The thresholds that hold in one language."""
        fineweb2 = self.fineweb2.get(language)
        return RuleThresholds.model_validate(
            {
                **self.default.model_dump(),
                **THRESHOLDS.get(language, {}),
                **(fineweb2.thresholds() if fineweb2 is not None else {}),
                **self.by_language.get(language, {}),
            }
        )

    def stop_words_of(self, language: str) -> tuple[str, ...]:
        """The stop words of one language; none where it has no list."""
        if language in self.stop_words:
            return self.stop_words[language]
        fineweb2 = self.fineweb2.get(language)
        return fineweb2.stopwords if fineweb2 is not None else ()
