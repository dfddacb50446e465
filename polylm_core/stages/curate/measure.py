"""What the rules ask of a document, as numbers: one row a document, one column a measure.

A native kernel computes every measure in one pass over the tokens; the thresholds are applied to
the table (`rules.py`), and `calibrate` reads the same table for a trusted text. Definitions are
those of datatrove, whose thresholds for a thousand languages FineWeb-2 published: shares of
characters are of the whole text with its spaces, repeated n-grams are counted without overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polylm_core.characters import (
    BULLET,
    DIGIT,
    LETTER,
    SENTENCE_END,
    SPACE,
    Bytes,
    Offsets,
    Texts,
    decode_at,
    membership,
    properties,
)
from polylm_core.hashing import Hashes
from polylm_core.kernels import kernel
from polylm_core.languages import Language
from polylm_core.stages.curate.ngrams import ngram_characters
from polylm_core.tokens import HAS_LETTER, IS_SYMBOL, Tokens

Table = npt.NDArray[np.float64]

LINES = ("bullet_line_share", "ellipsis_line_share", "line_end_share", "short_line_share")


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of several documents, by name."""

    columns: dict[str, npt.NDArray[np.float64]]
    """float64[documents] each."""

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        """One measure."""
        return self.columns[name]


@dataclass(frozen=True, slots=True)
class Question:
    """What to measure in documents of one language."""

    language: Language
    characters_per_word: int
    """Characters that count as a word where no spaces stand between words."""
    stop_words: Hashes
    """Sorted hashes of their wordings."""
    short_line_characters: int
    top_ngrams: tuple[int, ...]
    duplicate_ngrams: tuple[int, ...]
    least_top_ngrams: int = 2
    """Occurrences from which on a most frequent n-gram counts."""


def measure(texts: Texts, tokens: Tokens, question: Question) -> Measures:
    """Measure repaired texts, whose tokens are given."""
    are_words = question.language.words == "spaces"
    scale = 1 if are_words else question.characters_per_word
    own = membership(question.language.script_ranges)
    letters = _measure_characters(texts.values, texts.offsets, properties(), own)
    found = _measure_lines(
        texts.values, texts.offsets, properties(), question.short_line_characters
    )
    digits, script, characters, hashes, ellipses = letters.T
    lines = found[:, 0]
    word_table = _measure_words(
        tokens.hashes, tokens.wordings, tokens.characters, tokens.kinds, tokens.offsets,
        question.stop_words,
    )  # fmt: skip
    num_tokens = np.maximum(np.diff(tokens.offsets) / scale, 1e-9)
    shares = (found[:, 1:] / np.maximum(found[:, :1], 1)).T
    columns = dict(zip(LINES, shares, strict=True))
    columns |= {
        "digit_share": digits,
        "script_share": script,
        "words": word_table[:, 0] / scale,
        "mean_word_characters": word_table[:, 1] / np.maximum(word_table[:, 0], 1),
        "alphabetic_word_share": word_table[:, 2] / num_tokens,
        "stop_words": word_table[:, 3],
        "symbol_to_word_ratio": np.maximum(hashes, ellipses) / num_tokens,
        "new_line_ratio": np.maximum(lines - 1, 0) / num_tokens,
    }
    columns |= _ngrams(tokens, characters, scale, question)
    return Measures(columns)


def _ngrams(tokens: Tokens, characters: Table, scale: int, question: Question) -> dict[str, Table]:
    shares = ngram_characters(
        tokens.hashes,
        tokens.characters,
        tokens.offsets,
        np.array([n * scale for n in question.top_ngrams], np.int64),
        np.array([n * scale for n in question.duplicate_ngrams], np.int64),
        np.array(question.top_ngrams, np.int64) - 1,
        question.least_top_ngrams,
    ) / np.maximum(characters, 1).reshape(-1, 1)
    return dict(
        zip(ngram_names(question.top_ngrams, question.duplicate_ngrams), shares.T, strict=True)
    )


def ngram_names(top: Sequence[int], duplicate: Sequence[int]) -> list[str]:
    """Names of the n-gram measures, in the order of their columns."""
    return [
        *(f"top_{n}_gram_share" for n in top),
        *(f"duplicate_{n}_gram_share" for n in duplicate),
    ]


@kernel
def _measure_characters(
    values: Bytes, offsets: Offsets, properties: Bytes, own: npt.NDArray[np.bool_]
) -> Table:
    """Shares of digits and of the own script, characters, hash signs and ellipses."""
    table = np.zeros((len(offsets) - 1, 5), np.float64)
    for text in range(len(offsets) - 1):
        position, end = offsets[text], offsets[text + 1]
        visible = characters = digits = letters = own_letters = hashes = ellipses = dots = 0
        while position < end:
            point, position = decode_at(values, position)
            flags = properties[point]
            characters += 1
            visible += (flags & SPACE) == 0
            digits += (flags & DIGIT) != 0
            if flags & LETTER:
                letters += 1
                own_letters += own[point]
            dots = dots + 1 if point == 46 else 0
            ellipses += dots == 3 or point == 0x2026
            hashes += point == 35
        table[text, 0] = digits / max(visible, 1)
        table[text, 1] = own_letters / max(letters, 1)
        table[text, 2], table[text, 3], table[text, 4] = characters, hashes, ellipses
    return table


@kernel
def _measure_lines(values: Bytes, offsets: Offsets, properties: Bytes, short_line: int) -> Table:
    """Lines, and of those the ones with a bullet, an ellipsis, a sentence's end, and short ones."""
    table = np.zeros((len(offsets) - 1, 5), np.float64)
    for text in range(len(offsets) - 1):
        position, end = offsets[text], offsets[text + 1]
        length, dots, last = 0, 0, 0
        while position <= end:
            point, following = 10, position + 1
            if position < end:
                point, following = decode_at(values, position)
            if point != 10:
                table[text, 1] += length == 0 and (properties[point] & BULLET) != 0
                length += 1
                dots = dots + 1 if point == 46 else 0
                last = point
            elif length:
                table[text, 0] += 1
                table[text, 2] += dots >= 3 or last == 0x2026
                table[text, 3] += (properties[last] & SENTENCE_END) != 0
                table[text, 4] += length <= short_line
                length, dots = 0, 0
            position = following
    return table


@kernel
def _measure_words(
    hashes: Hashes,
    wordings: Hashes,
    characters: npt.NDArray[np.int32],
    kinds: Bytes,
    offsets: Offsets,
    stop_words: Hashes,
) -> Table:
    """Words that are no symbols, their characters, words with a letter, distinct stop words."""
    table = np.zeros((len(offsets) - 1, 4), np.float64)
    found = np.full(len(stop_words), -1)
    for text in range(len(offsets) - 1):
        for token in range(offsets[text], offsets[text + 1]):
            if not kinds[token] & IS_SYMBOL:
                table[text, 0] += 1
                table[text, 1] += characters[token]
            table[text, 2] += (kinds[token] & HAS_LETTER) != 0
            if len(stop_words) and wordings[token]:
                place = np.searchsorted(stop_words, wordings[token])
                if place < len(stop_words) and stop_words[place] == wordings[token]:
                    if found[place] != text:
                        found[place] = text
                        table[text, 3] += 1
    return table
