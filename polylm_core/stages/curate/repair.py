"""Line repair: one form for one text, nothing invisible, every line once.

Filter 1 of curate (PolyLM §3.1, "line-level repair"): invisible characters, whitespace, over-long
words, lines that are only a URL, lines said before in the same document, and lines that were left
in English. Texts come in NFC. A native kernel over the UTF-8 of many documents at once; the tests
hold its plain form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from polylm_core.characters import (
    INVISIBLE,
    LETTER,
    SPACE,
    Bytes,
    Offsets,
    Texts,
    decode_at,
    properties,
)
from polylm_core.hashing import NO_HASHES, Hashes, byte_hash, has_hash, mixed, seen_before, set_size
from polylm_core.kernels import kernel

FILTER = "repair"

REASONS = ("overlong-word", "repeated-line", "url-only", "copy-of-english")
"""Why a line is left out; of an over-long word only the word is."""
_OVERLONG, _REPEATED, _URL, _COPY = range(4)

_LINES, _CHARACTERS, _REPEATED_LINES, _REPEATED_CHARACTERS = range(4)
_PARAGRAPHS, _REPEATED_PARAGRAPHS, _REPEATED_PARAGRAPH_CHARACTERS = range(4, 7)
NUM_COUNTS = 7


Shares = dict[str, npt.NDArray[np.float64]]


class Repaired(NamedTuple):
    """Repaired texts, with what only the raw ones could tell."""

    texts: Texts
    shares: Shares
    """`repeated_line_share` (lines that stood in the document before, of its lines), the same of
    their characters and of paragraphs (lines between empty lines): float64[texts] each."""
    left_out: npt.NDArray[np.int64]
    """Parts left out, int64[n, 4]: document, index in `REASONS`, first byte and end in the
    buffer of raw texts."""


def repair(
    texts: Texts,
    *,
    are_words: bool,
    max_word_characters: int,
    english_lines: Hashes = NO_HASHES,
    min_copied_letters: int = 0,
) -> Repaired:
    """Repair every text; of one of which nothing stays the empty text is left.

    `english_lines` are the sorted hashes of lines that count as untranslated.
    """
    values, offsets, counts, left_out = _repair(
        texts.values,
        texts.offsets,
        properties(),
        are_words,
        max_word_characters,
        english_lines,
        min_copied_letters,
    )

    def share(part: int, whole: int) -> npt.NDArray[np.float64]:
        return np.asarray(counts[:, part] / np.maximum(counts[:, whole], 1))

    shares = {
        "repeated_line_share": share(_REPEATED_LINES, _LINES),
        "repeated_line_character_share": share(_REPEATED_CHARACTERS, _CHARACTERS),
        "repeated_paragraph_share": share(_REPEATED_PARAGRAPHS, _PARAGRAPHS),
        "repeated_paragraph_character_share": share(_REPEATED_PARAGRAPH_CHARACTERS, _CHARACTERS),
    }
    return Repaired(Texts(values, offsets), shares, left_out)


@kernel
def _is_url(values: Bytes, start: int, end: int) -> bool:
    if start < end and values[start] == 40:  # (
        start += 1
    for position in range(start, end):
        if values[position] == 32:
            return False
    if end - start > 4 and values[start] == 119:  # www.
        return bool(
            values[start + 1] == 119 and values[start + 2] == 119 and values[start + 3] == 46
        )
    if end - start < 8 or values[start] != 104 or values[start + 1] != 116:  # ht
        return False
    if values[start + 2] != 116 or values[start + 3] != 112:  # tp
        return False
    colon = start + 5 if values[start + 4] == 115 else start + 4
    return bool(values[colon] == 58 and values[colon + 1] == 47 and values[colon + 2] == 47)


@kernel
def _copy_line(
    values: Bytes,
    start: int,
    end: int,
    properties: Bytes,
    are_words: bool,
    max_word: int,
    out: Bytes,
    at: int,
) -> tuple[int, int, int, int]:
    """Write a line with single spaces; returns its end, characters, letters, bytes cut out."""
    position, line_start = start, at
    characters = letters = cut = 0
    run, run_start, run_letters = 0, at, 0  # the word, or without spaces the run of ASCII
    pending_space = False
    while position <= end:
        flags, following, point = SPACE, position + 1, 32
        if position < end:
            point, following = decode_at(values, position)
            flags = properties[point]
        if flags & INVISIBLE and not flags & SPACE:
            position = following
            continue
        ends_run = (flags & SPACE) != 0 or (not are_words and point > 126)
        if ends_run:
            if run > max_word:
                cut += at - run_start
                characters -= run
                letters -= run_letters
                at = run_start
                pending_space = True
            run = 0
        if flags & SPACE:
            pending_space = at > line_start
        else:
            if pending_space and at > line_start and out[at - 1] != 32:
                out[at] = 32
                at += 1
                characters += 1
            pending_space = False
            if run == 0:
                run_start, run_letters = at, 0
            if are_words or point <= 126:
                run += 1
            for offset in range(following - position):
                out[at + offset] = values[position + offset]
            at += following - position
            characters += 1
            if flags & LETTER:
                letters += 1
                run_letters += 1
        position = following
    if at > line_start and out[at - 1] == 32:
        at -= 1
        characters -= 1
    return at, characters, letters, cut


@kernel
def _repair(
    values: Bytes,
    offsets: Offsets,
    properties: Bytes,
    are_words: bool,
    max_word: int,
    english: Hashes,
    min_copied: int,
) -> tuple[Bytes, Offsets, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    documents = len(offsets) - 1
    total = most = 0
    for document in range(documents):
        lines = 1
        for position in range(offsets[document], offsets[document + 1]):
            lines += values[position] == 10
        total, most = total + lines, max(most, lines)
    out, ends = np.empty(len(values), np.uint8), np.zeros(documents + 1, np.int64)
    counts = np.zeros((documents, NUM_COUNTS), np.int64)
    left_out = np.empty((2 * total, 4), np.int64)
    table, stamps = np.empty(set_size(2 * most), np.uint64), np.full(set_size(2 * most), -1)
    at = found = 0
    for document in range(documents):
        first, start, end = at, offsets[document], offsets[document + 1]
        paragraph, paragraph_characters = np.uint64(0), 0
        while start <= end:
            stop = start
            while stop < end and values[stop] != 10:
                stop += 1
            line = at + (at > first)
            at_end, characters, letters, cut = _copy_line(
                values, start, stop, properties, are_words, max_word, out, line
            )
            reason = -1
            if cut:
                left_out[found] = (document, _OVERLONG, start, stop)
                found += 1
            if characters:
                hashed = byte_hash(out, line, at_end)
                paragraph = mixed(paragraph ^ hashed)
                paragraph_characters += characters
                counts[document, _LINES] += 1
                counts[document, _CHARACTERS] += characters
                if seen_before(table, stamps, document, hashed):
                    reason = _REPEATED
                    counts[document, _REPEATED_LINES] += 1
                    counts[document, _REPEATED_CHARACTERS] += characters
                elif _is_url(out, line, at_end):
                    reason = _URL
                elif letters >= min_copied and has_hash(english, hashed):
                    reason = _COPY
            if paragraph_characters and (characters == 0 or stop == end):
                counts[document, _PARAGRAPHS] += 1
                if seen_before(table, stamps, document, paragraph ^ np.uint64(0xFFFFFFFFFFFFFFFF)):
                    counts[document, _REPEATED_PARAGRAPHS] += 1
                    counts[document, _REPEATED_PARAGRAPH_CHARACTERS] += paragraph_characters
                paragraph, paragraph_characters = np.uint64(0), 0
            if reason >= 0:
                left_out[found] = (document, reason, start, stop)
                found += 1
            elif characters:
                if line > at:
                    out[at] = 10
                at = at_end
            start = stop + 1
        ends[document + 1] = at
    return out[:at], ends, counts, left_out[:found]
