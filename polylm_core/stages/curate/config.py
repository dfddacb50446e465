"""The `curate` section of `params.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from polylm_core.stages.base import StageConfig


class IdentifyConfig(StageConfig):
    """Language identification with fastText's lid.176 (PolyLM §3.1 names the method only)."""

    sample_characters: int = Field(gt=0)
    """Letters of a document that are looked at, from its start."""
    min_confidence: float = Field(ge=0, le=1)
    """A document is kept when its claimed language is this probable."""
    pair_min_confidence: float = Field(ge=0, le=1)
    """The same for a side of a pair; lower, because one sentence is weaker evidence."""
    pair_min_characters: int = Field(gt=0)
    """A side of a pair that is shorter, without digits and punctuation, is not judged."""
    min_confidence_by_language: Mapping[str, float] = {}
    """Other thresholds for documents of single languages."""
    also_accepted: Mapping[str, tuple[str, ...]] = {}
    """Close relatives whose probability counts for a language, since lid.176 mixes them up."""


class RuleThresholds(StageConfig):
    """Quality and repetition rules; the defaults are Gopher's (Rae et al. 2021, §A1.1)."""

    characters_per_word: int = Field(default=2, ge=1)
    """Characters that count as a word where no spaces stand between words."""
    min_words: int = Field(default=50, ge=1)
    max_words: int = Field(default=100_000, gt=0)
    min_mean_word_characters: float = Field(default=3, ge=0)
    max_mean_word_characters: float = Field(default=10, gt=0)
    min_alphabetic_word_share: float = Field(default=0.8, ge=0, le=1)
    """Words with at least one letter, of all words."""
    max_symbol_to_word_ratio: float = Field(default=0.1, ge=0)
    """Hash signs or ellipses, per word."""
    max_bullet_line_share: float = Field(default=0.9, ge=0, le=1)
    max_ellipsis_line_share: float = Field(default=0.3, ge=0, le=1)
    max_digit_share: float = Field(default=0.2, ge=0, le=1)
    """Digits, of all characters but spaces (PolyLM §3.1 has the rule, not its threshold)."""
    min_script_share: float = Field(default=0.5, ge=0, le=1)
    """Letters of the language's own script, of all letters."""
    max_duplicate_line_share: float = Field(default=0.3, ge=0, le=1)
    max_duplicate_line_character_share: float = Field(default=0.2, ge=0, le=1)
    max_top_ngram_share: Mapping[int, float] = {2: 0.20, 3: 0.18, 4: 0.16}
    """Characters within the most frequent n-gram of words, by n."""
    max_duplicate_ngram_share: Mapping[int, float] = {
        5: 0.15,
        6: 0.14,
        7: 0.13,
        8: 0.12,
        9: 0.11,
        10: 0.10,
    }
    """Characters within n-grams of words that occur more than once, by n."""


class RulesConfig(StageConfig):
    """The rules for all languages, and what is different in single ones.

    Languages without spaces between words are counted in characters instead: so many of them stand
    for a word (`characters_per_word`), and the rules about the inside of a word do not apply.
    """

    default: RuleThresholds
    by_language: Mapping[str, Mapping[str, Any]] = {}
    """Thresholds that replace the default's, by language."""
    stop_words: Mapping[str, tuple[str, ...]] = {}
    """Languages in which running text has at least `min_stop_words` of these words."""
    min_stop_words: int = Field(default=2, ge=0)

    @model_validator(mode="after")
    def _overrides_are_thresholds(self) -> Self:
        for language in self.by_language:
            self.for_language(language)
        return self

    def for_language(self, language: str) -> RuleThresholds:
        """The thresholds that hold in one language."""
        override = self.by_language.get(language, {})
        return RuleThresholds.model_validate({**self.default.model_dump(), **override})


class NearDuplicatesConfig(StageConfig):
    """MinHash-LSH within a language (PolyLM §3.1; figures of FineWeb, arXiv 2406.17557 §3.4).

    Documents of Jaccard similarity s meet with probability 1 - (1 - s^rows)^bands, and count as
    duplicates when their estimated similarity reaches the threshold.
    """

    min_jaccard: float = Field(gt=0, le=1)
    bands: int = Field(default=14, ge=2)
    rows: int = Field(default=8, ge=1)
    """Hashes of a band; bands * rows permutations in all."""
    shingle_words: int = Field(default=5, ge=1)
    shingle_characters: int = Field(default=10, ge=1)
    """Shingle length in languages without spaces between words."""


class PairsConfig(StageConfig):
    """Rules for aligned pairs."""

    max_length_ratio: float = Field(gt=1)
    """Longer side by shorter side in characters, each divided by its language's usual length."""
    min_judged_characters: int = Field(ge=0)
    """Pairs in which neither side is longer are not judged by their ratio."""


class HeldOutConfig(StageConfig):
    """Documents kept for evaluation: the same ones in every language, and their pairs."""

    share: float = Field(gt=0, lt=1)
    """Share of the documents, drawn by a seeded hash of the document's key."""
    share_by_source: Mapping[str, float] = {}
    """Other shares for single sources, such as one of few documents in many languages."""
    min_bytes: int = Field(ge=0)
    """A language of the recipe with less held-out text is an error."""


class DecontaminateConfig(StageConfig):
    """Training lines that share an n-gram with a held-out line are removed.

    13 words as in GPT-3 (arXiv 2005.14165, appendix C). A line shorter than the n-gram is removed
    when it equals a held-out line.
    """

    ngram_words: int = Field(default=13, ge=2)
    ngram_characters: int = Field(default=30, ge=2)
    """N-gram length in languages without spaces between words."""


class CurateConfig(StageConfig):
    """Which documents and pairs are good enough to train on, and which are kept for evaluation."""

    max_word_characters: int = Field(gt=0)
    """A longer run without a space is not a word (base64, minified code) and is cut out."""
    min_copied_letters: int = Field(gt=0)
    """Lines of at least this many letters that equal an English line are untranslated: dropped."""
    identify: IdentifyConfig
    rules: RulesConfig
    near_duplicates: NearDuplicatesConfig
    pairs: PairsConfig
    held_out: HeldOutConfig
    decontaminate: DecontaminateConfig
