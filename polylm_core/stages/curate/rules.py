"""Quality and repetition rules on the measures of documents (Gopher, Rae et al. 2021, §A1.1).

Each rule compares a measure with a threshold and has a short reason; the first that objects drops
the document. Languages without spaces between words are asked about characters where Gopher asks
about words: a rule on the length of words would drop every document in Thai, Chinese or Japanese.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polylm_core.characters import Texts, from_strings
from polylm_core.languages import Language
from polylm_core.stages.curate.measure import Measures, Question, measure
from polylm_core.stages.curate.rules_config import RulesConfig, RuleThresholds
from polylm_core.tokens import Tokens, tokenise

FILTER = "rules"

Verdicts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

REPEATED = {
    "repeated_line_share": "repeated-lines",
    "repeated_line_character_share": "repeated-line-characters",
    "repeated_paragraph_share": "repeated-paragraphs",
    "repeated_paragraph_character_share": "repeated-paragraph-characters",
}
"""Shares that the repair counted, and the reasons of their rules."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A document is dropped where the measure is below the least or above the most."""

    reason: str
    measure: str
    least: float = -np.inf
    most: float = np.inf

    def objects(self, measures: Measures) -> npt.NDArray[np.bool_]:
        """For each document, whether the rule objects."""
        seen = measures[self.measure]
        return (seen < self.least) | (seen > self.most)


def rules_of(limits: RuleThresholds, *, are_words: bool, has_stop_words: bool) -> list[Rule]:
    """The rules of a language in the order in which they are asked."""
    inside_words = [
        Rule("short-words", "mean_word_characters", least=limits.min_mean_word_characters),
        Rule("long-words", "mean_word_characters", most=limits.max_mean_word_characters),
        Rule("few-words-of-letters", "alphabetic_word_share", limits.min_alphabetic_word_share),
    ]
    stop_words = [Rule("few-stop-words", "stop_words", least=limits.min_stop_words)]
    top, duplicate = limits.max_top_ngram_share, limits.max_duplicate_ngram_share
    return [
        Rule("too-short", "words", least=limits.min_words),
        Rule("too-long", "words", most=limits.max_words),
        *(inside_words if are_words else []),
        *(stop_words if has_stop_words else []),
        Rule("symbols", "symbol_to_word_ratio", most=limits.max_symbol_to_word_ratio),
        Rule("digits", "digit_share", most=limits.max_digit_share),
        Rule("other-script", "script_share", least=limits.min_script_share),
        Rule("bullet-lines", "bullet_line_share", most=limits.max_bullet_line_share),
        Rule("ellipsis-lines", "ellipsis_line_share", most=limits.max_ellipsis_line_share),
        *(
            Rule(reason, name, most=getattr(limits, f"max_{name}"))
            for name, reason in REPEATED.items()
        ),
        *(Rule(f"top-{n}-gram", f"top_{n}_gram_share", most=top[n]) for n in top),
        *(
            Rule(f"duplicate-{n}-grams", f"duplicate_{n}_gram_share", most=duplicate[n])
            for n in duplicate
        ),
        Rule("unended-lines", "line_end_share", least=limits.min_line_end_share),
        Rule("short-lines", "short_line_share", most=limits.max_short_line_share),
        Rule("list", "new_line_ratio", most=limits.max_new_line_ratio),
    ]


@dataclass(frozen=True)
class Judge:
    """The rules of one language, ready to be asked."""

    limits: RuleThresholds
    rules: tuple[Rule, ...]
    question: Question

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons that a verdict is an index of."""
        return tuple(rule.reason for rule in self.rules)

    def measures(self, texts: Texts, tokens: Tokens, shares: Mapping[str, Values]) -> Measures:
        """Everything the rules ask of repaired documents; `shares` are those of the repair."""
        found = measure(texts, tokens, self.question)
        return Measures({**found.columns, **{name: shares[name] for name in REPEATED}})

    def verdicts(self, measures: Measures) -> Verdicts:
        """The index of the first rule that objects to a document, -1 where none does."""
        verdicts = np.full(len(measures["words"]), -1, np.int64)
        for index, rule in enumerate(self.rules):
            objects = rule.objects(measures)
            if rule.measure == "line_end_share" and self.limits.allow_no_line_end:
                objects &= measures["line_end_share"] > 0
            verdicts[objects & (verdicts < 0)] = index
        return verdicts


@functools.lru_cache(maxsize=512)
def _stop_word_hashes(words: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    return np.unique(tokenise(from_strings(words), are_words=True).wordings)


def judge_of(language: Language, config: RulesConfig) -> Judge:
    """The rules of one language."""
    limits = config.for_language(language.code)
    stop_words = config.stop_words_of(language.code)
    are_words = language.words == "spaces"
    return Judge(
        limits,
        tuple(rules_of(limits, are_words=are_words, has_stop_words=bool(stop_words) and are_words)),
        Question(
            language=language,
            characters_per_word=limits.characters_per_word,
            stop_words=_stop_word_hashes(stop_words),
            short_line_characters=limits.short_line_characters,
            top_ngrams=tuple(limits.max_top_ngram_share),
            duplicate_ngrams=tuple(limits.max_duplicate_ngram_share),
            least_top_ngrams=limits.min_top_ngrams,
        ),
    )
