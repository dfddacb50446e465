"""The native kernel of the repair: the lines of many documents, one after the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from polylm_core.characters import INVISIBLE, LETTER, SPACE, Bytes, Offsets, decode_at
from polylm_core.hashing import Hashes, byte_hash, has_hash, mixed, seen_before, set_size
from polylm_core.kernels import kernel

OVERLONG, REPEATED, URL, COPY = range(4)
"""Why a line is left out; of an over-long word only the word is."""
LINES, CHARACTERS, REPEATED_LINES, REPEATED_CHARACTERS = range(4)
PARAGRAPHS, REPEATED_PARAGRAPHS, REPEATED_PARAGRAPH_CHARACTERS = range(4, 7)
NUM_COUNTS = 7


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
    values: Bytes, start: int, end: int, properties: Bytes, are_words: bool, out: Bytes, at: int
) -> tuple[int, int, int, int]:
    """Write a line with single spaces; returns its end, characters, letters and longest run.

    A run is a word or, without spaces between words, neighbouring ASCII: there a whole paragraph
    is one run, and only ASCII is no prose.
    """
    position, line_start = start, at
    characters = letters = run = longest = 0
    pending_space = False
    while position < end:
        point, following = decode_at(values, position)
        flags = properties[point]
        if flags & SPACE:
            pending_space = at > line_start
        elif not flags & INVISIBLE:
            if pending_space:
                out[at] = 32
                at += 1
                characters += 1
                run = 0
            pending_space = False
            for offset in range(following - position):
                out[at + offset] = values[position + offset]
            at += following - position
            characters += 1
            letters += (flags & LETTER) != 0
            run = run + 1 if are_words or point <= 126 else 0
            longest = max(longest, run)
        position = following
    return at, characters, letters, longest


@kernel
def _cut_overlong(
    out: Bytes, start: int, end: int, properties: Bytes, are_words: bool, max_word: int
) -> tuple[int, int, int]:
    """Take over-long runs out of a written line, in place; its end, characters and letters."""
    read, at = start, start
    characters = letters = 0
    pending_space = False
    while read < end:
        stop, run, run_letters = read, 0, 0
        while stop < end:
            point, following = decode_at(out, stop)
            if point == 32 or not (are_words or point <= 126):
                break
            run, run_letters = run + 1, run_letters + ((properties[point] & LETTER) != 0)
            stop = following
        if run == 0:  # one character that is in no run
            point, stop = decode_at(out, read)
            run, run_letters = 1, (properties[point] & LETTER) != 0
        if out[read] == 32 or run > max_word:
            pending_space = at > start
        else:
            if pending_space:
                out[at] = 32
                at += 1
                characters += 1
            pending_space = False
            for offset in range(stop - read):
                out[at + offset] = out[read + offset]
            at += stop - read
            characters += run
            letters += run_letters
        read = stop
    return at, characters, letters


@kernel
def _one_form(
    values: Bytes,
    start: int,
    end: int,
    properties: Bytes,
    are_words: bool,
    max_word: int,
    out: Bytes,
    at: int,
) -> tuple[int, int, int, bool]:
    """Write a line; its end, characters, letters, and whether an over-long word was cut out."""
    line_end, characters, letters, longest = _copy_line(
        values, start, end, properties, are_words, out, at
    )
    if longest > max_word:
        line_end, characters, letters = _cut_overlong(
            out, at, line_end, properties, are_words, max_word
        )
    return line_end, characters, letters, longest > max_word


class _Books(NamedTuple):
    """What a repair writes down, and the set of what a document has said."""

    counts: npt.NDArray[np.int64]
    left_out: npt.NDArray[np.int64]
    table: Hashes
    stamps: npt.NDArray[np.int64]


@kernel
def _new_books(values: Bytes, offsets: Offsets) -> _Books:
    total = most = 0
    for document in range(len(offsets) - 1):
        lines = 1
        for position in range(offsets[document], offsets[document + 1]):
            lines += values[position] == 10
        total, most = total + lines, max(most, lines)
    return _Books(
        np.zeros((len(offsets) - 1, NUM_COUNTS), np.int64),
        np.empty((2 * total, 4), np.int64),
        np.empty(set_size(2 * most), np.uint64),
        np.full(set_size(2 * most), -1),
    )


@kernel
def _end_of_line(values: Bytes, start: int, end: int) -> int:
    while start < end and values[start] != 10:
        start += 1
    return start


@kernel
def _leave_out(books: _Books, found: int, document: int, reason: int, start: int, end: int) -> int:
    books.left_out[found] = (document, reason, start, end)
    return found + 1


@kernel
def repair_lines(
    values: Bytes,
    offsets: Offsets,
    properties: Bytes,
    are_words: bool,
    max_word: int,
    english: Hashes,
    min_copied: int,
) -> tuple[Bytes, Offsets, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Repaired texts and their bounds, what was counted by text, and the parts left out."""
    out, ends = np.empty(len(values), np.uint8), np.zeros(len(offsets), np.int64)
    books, at, found = _new_books(values, offsets), 0, 0
    for document in range(len(offsets) - 1):
        first, start, end = at, offsets[document], offsets[document + 1]
        paragraph, said = np.uint64(0), 0
        while start <= end:
            stop = _end_of_line(values, start, end)
            line = at + (at > first)
            line_end, characters, letters, was_cut = _one_form(
                values, start, stop, properties, are_words, max_word, out, line
            )
            if was_cut:
                found = _leave_out(books, found, document, OVERLONG, start, stop)
            if characters:
                paragraph = mixed(paragraph ^ byte_hash(out, line, line_end))
                said += characters
            if said and (characters == 0 or stop == end):
                _end_paragraph(books, document, paragraph, said)
                paragraph, said = np.uint64(0), 0
            reason = _judge(
                books, document, out, line, line_end, characters, english, letters >= min_copied
            )
            if reason >= 0:
                found = _leave_out(books, found, document, reason, start, stop)
            elif characters:
                out[at] = 10 if line > at else out[at]
                at = line_end
            start = stop + 1
        ends[document + 1] = at
    return out[:at], ends, books.counts, books.left_out[:found]


@kernel
def _judge(
    books: _Books,
    document: int,
    out: Bytes,
    start: int,
    end: int,
    characters: int,
    english: Hashes,
    is_copied: bool,
) -> int:
    """Count a written line; the reason to leave it out, -1 if there is none."""
    if characters == 0:
        return -1
    hashed = byte_hash(out, start, end)
    books.counts[document, LINES] += 1
    books.counts[document, CHARACTERS] += characters
    if seen_before(books.table, books.stamps, document, hashed):
        books.counts[document, REPEATED_LINES] += 1
        books.counts[document, REPEATED_CHARACTERS] += characters
        return REPEATED
    if _is_url(out, start, end):
        return URL
    return COPY if is_copied and has_hash(english, hashed) else -1


@kernel
def _end_paragraph(books: _Books, document: int, paragraph: np.uint64, characters: int) -> None:
    books.counts[document, PARAGRAPHS] += 1
    # Not the hash of a line: a paragraph of one line is not that line said before.
    value = mixed(paragraph ^ np.uint64(0xFFFFFFFFFFFFFFFF))
    if seen_before(books.table, books.stamps, document, value):
        books.counts[document, REPEATED_PARAGRAPHS] += 1
        books.counts[document, REPEATED_PARAGRAPH_CHARACTERS] += characters
