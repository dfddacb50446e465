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
from polylm_core.hashing import Hashes, mixed, set_size
from polylm_core.kernels import kernel
from polylm_core.languages import Language
from polylm_core.tokens import HAS_LETTER, IS_SYMBOL, Tokens

Table = npt.NDArray[np.float64]

WORDS = (
    "words",
    "mean_word_characters",
    "alphabetic_word_share",
    "symbol_to_word_ratio",
    "stop_words",
    "new_line_ratio",
)
TEXT = (
    "digit_share",
    "script_share",
    "bullet_line_share",
    "ellipsis_line_share",
    "line_end_share",
    "short_line_share",
)
_NUM_WORD, _NUM_TEXT = len(WORDS), len(TEXT)

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so multiplying by it modulo 2**64 loses nothing; the golden ratio, as usual in hashing."""


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


def measure(texts: Texts, tokens: Tokens, question: Question) -> Measures:
    """Measure repaired texts, whose tokens are given."""
    are_words = question.language.words == "spaces"
    scale = 1 if are_words else question.characters_per_word
    own = membership(question.language.script_ranges)
    text_table = _measure_text(
        texts.values, texts.offsets, properties(), own, question.short_line_characters
    )
    characters, lines, hashes, ellipses = text_table[:, _NUM_TEXT:].T
    word_table = _measure_words(
        tokens.hashes, tokens.wordings, tokens.characters, tokens.kinds, tokens.offsets,
        question.stop_words,
    )  # fmt: skip
    num_tokens = np.maximum(np.diff(tokens.offsets) / scale, 1e-9)
    columns = dict(zip(TEXT, text_table.T, strict=False))
    columns |= {
        "words": (word_table[:, 0] if are_words else np.diff(tokens.offsets)) / scale,
        "mean_word_characters": word_table[:, 1] / np.maximum(word_table[:, 0], 1),
        "alphabetic_word_share": word_table[:, 2] / num_tokens,
        "stop_words": word_table[:, 3],
        "symbol_to_word_ratio": np.maximum(hashes, ellipses) / num_tokens,
        "new_line_ratio": np.maximum(lines - 1, 0) / num_tokens,
    }
    columns |= _ngrams(tokens, characters, are_words, scale, question)
    return Measures(columns)


def _ngrams(
    tokens: Tokens, characters: Table, are_words: bool, scale: int, question: Question
) -> dict[str, Table]:
    shares = _measure_ngrams(
        tokens.hashes,
        tokens.characters,
        tokens.offsets,
        np.array([n * scale for n in question.top_ngrams], np.int64),
        np.array([n * scale for n in question.duplicate_ngrams], np.int64),
        1 if are_words else 0,
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
def _measure_text(
    values: Bytes,
    offsets: Offsets,
    properties: Bytes,
    own: npt.NDArray[np.bool_],
    short_line: int,
) -> Table:
    table = np.zeros((len(offsets) - 1, 10), np.float64)
    for text in range(len(offsets) - 1):
        position, end = offsets[text], offsets[text + 1]
        visible = characters = digits = letters = own_letters = 0
        lines = bullets = ellipsis_lines = ended = short = hashes = ellipses = 0
        length, dots, last = 0, 0, 0
        while position <= end:
            point, following = 10, position + 1
            if position < end:
                point, following = decode_at(values, position)
                characters += 1
            if point == 10:
                if length:
                    lines += 1
                    ellipsis_lines += dots >= 3 or last == 0x2026
                    ended += (properties[last] & SENTENCE_END) != 0
                    short += length <= short_line
                length, dots = 0, 0
            else:
                flags = properties[point]
                bullets += length == 0 and (flags & BULLET) != 0
                length += 1
                visible += (flags & SPACE) == 0
                digits += (flags & DIGIT) != 0
                if flags & LETTER:
                    letters += 1
                    own_letters += own[point]
                dots = dots + 1 if point == 46 else 0
                ellipses += dots == 3 or point == 0x2026
                hashes += point == 35
                last = point
            position = following
        table[text, 0] = digits / max(visible, 1)
        table[text, 1] = own_letters / max(letters, 1)
        table[text, 2] = bullets / max(lines, 1)
        table[text, 3] = ellipsis_lines / max(lines, 1)
        table[text, 4] = ended / max(lines, 1)
        table[text, 5] = short / max(lines, 1)
        table[text, 6], table[text, 7] = characters, lines
        table[text, 8], table[text, 9] = hashes, ellipses
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


@kernel
def _measure_ngrams(
    hashes: Hashes,
    characters: npt.NDArray[np.int32],
    offsets: Offsets,
    top: npt.NDArray[np.int64],
    duplicate: npt.NDArray[np.int64],
    joint: int,
) -> Table:
    """Characters in the most frequent n-gram, and in n-grams that come again, by n.

    `joint` characters stand between two tokens of an n-gram that are shown with spaces.
    """
    table = np.zeros((len(offsets) - 1, len(top) + len(duplicate)), np.float64)
    most = 0
    for text in range(len(offsets) - 1):
        most = max(most, offsets[text + 1] - offsets[text])
    size = set_size(most)
    keys, stamps = np.empty(size, np.uint64), np.zeros(size, np.int64)
    counts, firsts = np.empty(size, np.int64), np.empty(size, np.int64)
    stamp = 0
    for text in range(len(offsets) - 1):
        start, end = offsets[text], offsets[text + 1]
        mask = np.uint64(set_size(end - start) - 1)
        for column in range(table.shape[1]):
            is_top = column < len(top)
            n = top[column] if is_top else duplicate[column - len(top)]
            if end - start <= n:
                continue
            stamp += 1
            if is_top:
                table[text, column] = _top(
                    hashes, characters, start, end, n, joint, keys, stamps, counts, firsts,
                    mask, stamp,
                )  # fmt: skip
            else:
                table[text, column] = _repeated(
                    hashes, characters, start, end, n, keys, stamps, mask, stamp
                )
    return table


@kernel
def _top(
    hashes: Hashes,
    characters: npt.NDArray[np.int32],
    start: int,
    end: int,
    n: int,
    joint: int,
    keys: Hashes,
    stamps: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.int64],
    mask: np.uint64,
    stamp: int,
) -> int:
    """Characters of all occurrences of the most frequent n-gram; 0 if none occurs twice."""
    power, run = np.uint64(1), np.uint64(0)
    for _ in range(n - 1):
        power *= _MULTIPLIER
    for token in range(start, start + n - 1):
        run = run * _MULTIPLIER + hashes[token]
    highest, first = 1, 0
    for token in range(start, end - n + 1):
        run = run * _MULTIPLIER + hashes[token + n - 1]
        value = mixed(run)
        place = value & mask
        while stamps[place] == stamp and keys[place] != value:
            place = (place + np.uint64(1)) & mask
        if stamps[place] == stamp:
            counts[place] += 1
            if counts[place] > highest or (counts[place] == highest and firsts[place] < first):
                highest, first = counts[place], firsts[place]
        else:
            stamps[place], keys[place] = stamp, value
            counts[place], firsts[place] = 1, token
        run -= hashes[token] * power
    if highest < 2:
        return 0
    length = joint * (n - 1)
    for token in range(first, first + n):
        length += characters[token]
    return length * highest


@kernel
def _repeated(
    hashes: Hashes,
    characters: npt.NDArray[np.int32],
    start: int,
    end: int,
    n: int,
    keys: Hashes,
    stamps: npt.NDArray[np.int64],
    mask: np.uint64,
    stamp: int,
) -> int:
    """Characters in n-grams that stood before; a repeated one is stepped over as a whole."""
    power, run = np.uint64(1), np.uint64(0)
    for _ in range(n - 1):
        power *= _MULTIPLIER
    for token in range(start, start + n - 1):
        run = run * _MULTIPLIER + hashes[token]
    total, free_from = 0, start
    for token in range(start, end - n + 1):
        run = run * _MULTIPLIER + hashes[token + n - 1]
        if token >= free_from:
            value = mixed(run)
            place = value & mask
            while stamps[place] == stamp and keys[place] != value:
                place = (place + np.uint64(1)) & mask
            if stamps[place] == stamp:
                for inside in range(token, token + n):
                    total += characters[inside]
                free_from = token + n
            else:
                stamps[place], keys[place] = stamp, value
        run -= hashes[token] * power
    return total
