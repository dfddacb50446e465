"""Input of any size: the corpus again and again, every fifth word replaced in each repetition.

A repetition replaces a word by another word of the same document, drawn by a hash of repetition,
document and position: its runs of five words are new, so it is no near-duplicate, and its language,
length and alphabet are the document's own. The first repetition is the corpus itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from benchmarks.engine.sample import corpus_documents
from polylm_core.records import Document

REPLACED_EVERY = 5
"""Words, of which one is replaced; characters where no spaces stand between words."""

_WORD = re.compile(r"\S+")
_CHARACTER = re.compile(r"\w")
_MIX = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def noisy(text: str, repetition: int, *, has_spaces: bool) -> str:
    """Return the text with every fifth word replaced; the text itself in repetition 0."""
    if not repetition:
        return text
    spans = [match.span() for match in (_WORD if has_spaces else _CHARACTER).finditer(text)]
    pieces = []
    end = 0
    # The phase moves with the repetition, so that two repetitions differ in different places.
    for index in range(repetition % REPLACED_EVERY, len(spans), REPLACED_EVERY):
        begin, stop = spans[index]
        other = spans[_mixed(repetition, index, len(text)) % len(spans)]
        pieces += [text[end:begin], text[other[0] : other[1]]]
        end = stop
    return "".join([*pieces, text[end:]])


def _mixed(*numbers: int) -> int:
    state = 0
    for number in numbers:
        state = ((state ^ number) * _MIX) & _MASK
        state ^= state >> 29
    return state


def repeated(files: list[Path], spaced: frozenset[str], max_bytes: int) -> Iterator[Document]:
    """Yield documents until `max_bytes` of text; ids say which repetition they are of.

    Up to one repetition, every n-th document is taken, so that a small input has all sources.
    """
    used = 0
    for repetition in count():
        for document in _documents(files, max_bytes, repetition):
            text = noisy(document.text, repetition, has_spaces=document.language in spaced)
            identifier = document.id if not repetition else f"{document.id}~{repetition}"
            used += len(text.encode())
            yield replace(document, id=identifier, text=text)
            if used >= max_bytes:
                return


def _documents(files: list[Path], max_bytes: int, repetition: int) -> Iterator[Document]:
    rows = (row for file in files for row in corpus_documents(file))
    if repetition:
        return rows
    in_corpus = sum(file.stat().st_size for file in files) * _COMPRESSION
    return islice(rows, 0, None, max(1, int(in_corpus / max_bytes)))


_COMPRESSION = 3.7
"""Bytes of text a byte of the corpus' files, about; only the stride of a small input needs it."""
