"""Input of any size: the corpus again and again, every fifth word replaced in each repetition.

A repetition replaces a word by another word of the same document, drawn by a hash of repetition,
document and position: its runs of five words are new, so it is no near-duplicate, and its language,
length and alphabet are the document's own. The first repetition is the corpus itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from benchmarks.engine.sample import corpus_documents, parts, sizes
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


def repeated(corpus: Path, has_spaces: Mapping[str, bool], max_bytes: int) -> Iterator[Document]:
    """Yield documents of these languages until `max_bytes`; ids say which repetition they are of.

    Of a corpus larger than that every n-th document is taken, so that each source is in.
    """
    stride = max(1, sum(sizes(corpus, has_spaces).values()) // max_bytes)
    used = 0
    for repetition in count():
        for document in islice(_documents(corpus, has_spaces), 0, None, stride):
            text = noisy(document.text, repetition, has_spaces=has_spaces[document.language])
            identifier = document.id if not repetition else f"{document.id}~{repetition}"
            used += len(text.encode())
            yield replace(document, id=identifier, text=text)
            if used >= max_bytes:
                return


def _documents(corpus: Path, languages: Collection[str]) -> Iterator[Document]:
    rows = (row for part in parts(corpus) for row in corpus_documents(part))
    return (row for row in rows if row.language in languages)
