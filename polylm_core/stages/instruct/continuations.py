"""Texts of one language to be continued: the answer is the next paragraph of a document.

Without them a small model answers in the wrong language as soon as nothing is to be translated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from polylm_core.records import Document, Instruction, Message, read_documents
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.stages.instruct.selection import Harvest, first_drawn, is_suitable, take
from polylm_core.stages.instruct.templates import has_wording, load_templates

CONTINUATION = "continuation"
MIN_PASSAGES_HELD = 20_000
"""Passages of a language that are in memory at once, the first of the drawn order; more only where
these hold too few suitable ones."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph and the one after it."""

    name: str
    text: str
    following: str
    license: str


def continuations(documents: Path, language: str, config: InstructConfig, seed: int) -> Harvest:
    """Make the texts to continue of one language; none without a wording in it."""
    if not has_wording(language):
        return Harvest()
    wording = load_templates().by_language[language].continuation

    def make(passage: Passage) -> Instruction | None:
        sides = (passage.text, passage.following)
        if not all(is_suitable(side, language, config) for side in sides):
            return None
        prompt = wording.format(text=passage.text)
        return Instruction(
            id=f"{CONTINUATION}/{passage.name}",
            language=language,
            prompt_language=language,
            origin=CONTINUATION,
            license=passage.license,
            messages=(Message("user", prompt), Message("assistant", passage.following)),
        )

    most = config.cross_lingual.continuations_of(language)
    held = MIN_PASSAGES_HELD
    while True:
        passages, number = first_drawn(
            _all_passages(documents), seed, lambda passage: passage.name, held
        )
        harvest = take(
            passages,
            make,
            most=most,
            max_bytes=config.max_chat_bytes,
            origin=CONTINUATION,
            language=language,
            num_candidates=number,
        )
        if len(harvest.instructions) == most or number <= held:
            return harvest
        held *= 8  # most passages were unsuitable: read the documents again for more


def _all_passages(documents: Path) -> Iterator[Passage]:
    for document in read_documents(documents):
        yield from _passages(document)


def _passages(document: Document) -> Iterator[Passage]:
    for number, (text, following) in enumerate(pairwise(document.text.split("\n"))):
        if text != following:
            yield Passage(f"{document.id}#{number}", text, following, document.license)
