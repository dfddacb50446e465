"""Aligned pairs: the rules that need both sides."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import NamedTuple

from polylm_core.identify import can_identify, identifier_of, letters_only
from polylm_core.records import Pair
from polylm_core.stages.curate.config import CurateConfig, IdentifyConfig, PairsConfig
from polylm_core.stages.curate.duplicates import drop_exact
from polylm_core.stages.curate.ledger import Ledger
from polylm_core.stages.curate.normalise import normalise_line


def text_of(pair: Pair) -> str:
    """Both sides, for hashing and for samples."""
    return f"{pair.text_a}\n{pair.text_b}"


def filter_pairs(pairs: Sequence[Pair], ledger: Ledger, config: CurateConfig) -> list[Pair]:
    """Apply every filter that needs no other language."""
    repaired = [
        replace(pair, text_a=normalise_line(pair.text_a), text_b=normalise_line(pair.text_b))
        for pair in pairs
    ]
    judged = _by_rules(_by_sides(repaired, ledger, config), ledger, config.pairs)
    identified = _by_language(judged, ledger, config.identify)
    return drop_exact(identified, ledger, kind="pairs", id_of=lambda pair: pair.id, text_of=text_of)


def _by_sides(pairs: Sequence[Pair], ledger: Ledger, config: CurateConfig) -> list[Pair]:
    kept = []
    for pair in pairs:
        reason = _side_reason(pair, config)
        if reason is None:
            kept.append(pair)
        else:
            ledger.drop("pairs", pair.id, "normalise", reason, text_of(pair))
    return kept


def _side_reason(pair: Pair, config: CurateConfig) -> str | None:
    sides = (pair.text_a, pair.text_b)
    if not all(any(map(str.isalpha, side)) for side in sides):
        return "no-letters"
    if any(len(word) > config.max_word_characters for word in pair.text_a.split()):
        return "overlong-word"
    if pair.text_a.casefold() == pair.text_b.casefold():
        return "copy-of-english"
    return None


def _by_rules(pairs: Sequence[Pair], ledger: Ledger, config: PairsConfig) -> list[Pair]:
    if not pairs:
        return []
    # Chinese takes a third of the characters of English, Spanish more than English: what is
    # unusual is told from the language's own median.
    usual = median(len(pair.text_b) / len(pair.text_a) for pair in pairs)
    kept = []
    for pair in pairs:
        relative = len(pair.text_b) / len(pair.text_a) / usual
        is_judged = max(len(pair.text_a), len(pair.text_b)) > config.min_judged_characters
        if is_judged and max(relative, 1 / relative) > config.max_length_ratio:
            ledger.drop("pairs", pair.id, "rules", "length-ratio", text_of(pair))
        else:
            kept.append(pair)
    return kept


def _by_language(pairs: Sequence[Pair], ledger: Ledger, config: IdentifyConfig) -> list[Pair]:
    kept = []
    for pair in pairs:
        if _is_foreign_often(pair.text_a, _Question.of(pair.language_a, config)):
            reason = "other-language-a"
        elif _is_foreign(pair.text_b, _Question.of(pair.language_b, config)):
            reason = "other-language-b"
        else:
            kept.append(pair)
            continue
        ledger.drop("pairs", pair.id, "identify", reason, text_of(pair))
    return kept


class _Question(NamedTuple):
    """What is asked of a side."""

    language: str
    also_accepted: tuple[str, ...]
    min_characters: int
    min_confidence: float
    sample_characters: int

    @classmethod
    def of(cls, language: str, config: IdentifyConfig) -> _Question:
        return cls(
            language,
            config.also_accepted.get(language, ()),
            config.pair_min_characters,
            config.pair_min_confidence,
            config.sample_characters,
        )


def _is_foreign(text: str, question: _Question) -> bool:
    if not can_identify(question.language):
        return False
    if len(letters_only(text)) < question.min_characters:
        return False
    identifier = identifier_of(question.language, question.also_accepted)
    return identifier.confidence(text, question.sample_characters) < question.min_confidence


# The English side comes again with every translation, and a worker sees many languages.
_is_foreign_often = functools.lru_cache(maxsize=1 << 16)(_is_foreign)
