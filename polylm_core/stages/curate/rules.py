"""Quality and repetition rules on a normalised document (Gopher, Rae et al. 2021, §A1.1).

Each rule is a question with a short reason for an answer; the first one that fires drops the
document. Languages without spaces between words are asked about characters where Gopher asks about
words: a rule on the length of words would drop every document in Thai, Chinese or Japanese.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from polylm_core.languages import Language
from polylm_core.stages.curate.config import RulesConfig, RuleThresholds
from polylm_core.stages.curate.ledger import Ledger
from polylm_core.stages.curate.ngrams import Tokens, duplicate_run_share, top_run_share
from polylm_core.stages.curate.normalise import Prepared

FILTER = "rules"

_BULLETS = ("•", "‣", "◦", "▪", "-", "*", "\u2013", "·")
_ELLIPSES = ("...", "…")


def apply_rules(
    documents: list[Prepared],
    ledger: Ledger,
    language: Language,
    tokens: Tokens,
    config: RulesConfig,
) -> list[Prepared]:
    """Keep the documents that no rule objects to."""
    objection = _Rules(language, tokens, config).objection
    kept = []
    for prepared in documents:
        reason = objection(prepared)
        if reason is None:
            kept.append(prepared)
        else:
            ledger.drop("documents", prepared.document.id, FILTER, reason, prepared.document.text)
    return kept


class _Rules:
    def __init__(self, language: Language, tokens: Tokens, config: RulesConfig) -> None:
        self.limits: RuleThresholds = config.for_language(language.code)
        self.tokens = tokens
        self.tokens_per_word = 1 if tokens.are_words else self.limits.characters_per_word
        self.is_own_script = _membership(language)
        self.stop_words = frozenset(config.stop_words.get(language.code, ()))
        self.min_stop_words = config.min_stop_words

    def objection(self, prepared: Prepared) -> str | None:
        """The first rule's reason to drop a document, or None."""
        text = prepared.document.text
        tokens = self.tokens.split(text)
        for reasons in (
            self._length(tokens),
            self._words(tokens) if self.tokens.are_words else (),
            self._characters(text, len(tokens) / self.tokens_per_word),
            self._lines(prepared),
            self._repetition(tokens),
        ):
            for reason in reasons:
                return reason
        return None

    def _length(self, tokens: Sequence[str]) -> Iterator[str]:
        num_words = len(tokens) / self.tokens_per_word
        if num_words < self.limits.min_words:
            yield "too-short"
        if num_words > self.limits.max_words:
            yield "too-long"

    def _words(self, words: Sequence[str]) -> Iterator[str]:
        mean = sum(map(len, words)) / len(words)
        if mean < self.limits.min_mean_word_characters:
            yield "short-words"
        if mean > self.limits.max_mean_word_characters:
            yield "long-words"
        alphabetic = sum(any(map(str.isalpha, word)) for word in words)
        if alphabetic < self.limits.min_alphabetic_word_share * len(words):
            yield "few-alphabetic-words"
        if self.stop_words:
            found = sum(word.casefold() in self.stop_words for word in words)
            if found < self.min_stop_words:
                yield "few-stop-words"

    def _characters(self, text: str, num_words: float) -> Iterator[str]:
        hashes = text.count("#")
        ellipses = sum(text.count(ellipsis) for ellipsis in _ELLIPSES)
        if max(hashes, ellipses) > self.limits.max_symbol_to_word_ratio * num_words:
            yield "symbols"
        characters = Counter("".join(text.split()))
        digits = sum(count for each, count in characters.items() if each.isdigit())
        if digits > self.limits.max_digit_share * characters.total():
            yield "digits"
        letters = {each: count for each, count in characters.items() if each.isalpha()}
        own = sum(count for each, count in letters.items() if self.is_own_script(each))
        if own < self.limits.min_script_share * sum(letters.values()) or not letters:
            yield "other-script"

    def _lines(self, prepared: Prepared) -> Iterator[str]:
        lines = prepared.lines
        bullets = sum(line.startswith(_BULLETS) for line in lines)
        if bullets > self.limits.max_bullet_line_share * len(lines):
            yield "bullet-lines"
        ellipses = sum(line.endswith(_ELLIPSES) for line in lines)
        if ellipses > self.limits.max_ellipsis_line_share * len(lines):
            yield "ellipsis-lines"
        if prepared.duplicate_line_share > self.limits.max_duplicate_line_share:
            yield "duplicate-lines"
        share = prepared.duplicate_line_character_share
        if share > self.limits.max_duplicate_line_character_share:
            yield "duplicate-line-characters"

    def _repetition(self, tokens: list[str]) -> Iterator[str]:
        hashes = self.tokens.hash(tokens)
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        for n, limit in self.limits.max_top_ngram_share.items():
            if top_run_share(hashes, lengths, n * self.tokens_per_word) > limit:
                yield f"top-{n}-gram"
        for n, limit in self.limits.max_duplicate_ngram_share.items():
            if duplicate_run_share(hashes, lengths, n * self.tokens_per_word) > limit:
                yield f"duplicate-{n}-grams"


def _membership(language: Language) -> Callable[[str], bool]:
    """Whether a letter belongs to the language's script."""

    @functools.cache
    def is_own(letter: str) -> bool:
        # NFKC: a full-width or ligature form belongs to the script of its plain letter.
        point = ord(unicodedata.normalize("NFKC", letter)[0])
        return any(low <= point <= high for low, high in language.script_ranges)

    return is_own
