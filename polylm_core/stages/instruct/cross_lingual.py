"""Cross-lingual tasks of BayLing 2 (arXiv 2411.16300): translation in several forms, via hubs.

Each language is linked to the hubs (English and Chinese) by translation tasks in both directions,
worded in either language; languages beyond the recipe's are linked to English only. Pairs with a
hub that is not English are joined through the English side that both share. Beside them stand
texts of one language to be continued, without which a small model answers in the wrong language
as soon as nothing is to be translated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from polylm_core.artifacts import ShardSet
from polylm_core.errors import StageError
from polylm_core.languages import get_language
from polylm_core.records import Document, Instruction, Message, Pair, read_documents
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.stages.instruct.pairs import Pairs, open_pairs
from polylm_core.stages.instruct.selection import (
    Harvest,
    draw,
    first_drawn,
    in_drawn_order,
    is_suitable,
    take,
)
from polylm_core.stages.instruct.templates import (
    ENGLISH,
    has_wording,
    load_templates,
    word_translation,
)

TRANSLATION = "cross-lingual"
CONTINUATION = "continuation"
MIN_PASSAGES_HELD = 20_000
"""Passages of a language that are in memory at once, the first of the drawn order; more only where
these hold too few suitable ones."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The tasks of one language, to be made in one go."""

    language: str
    is_further: bool
    """Not one of the recipe's languages: pairs with English only."""
    shards: Path
    config: InstructConfig
    seed: int


def make_units(
    shards: ShardSet, languages: tuple[str, ...], config: InstructConfig, seed: int
) -> list[Unit]:
    """One unit for each language with pairs, and for each of the recipe."""
    with_pairs = {part.name for part in (shards.path / "pairs").iterdir()}
    further = sorted(with_pairs - {*languages, ENGLISH})
    return [
        Unit(language, language in further, shards.path, config, seed)
        for language in (*sorted(languages), *further)
    ]


def make_tasks(unit: Unit) -> Harvest:
    """All cross-lingual tasks of one language, and its texts to continue."""
    if unit.is_further:
        return _further_tasks(unit)
    harvest = _continuations(unit)
    for hub, most in unit.config.cross_lingual.hubs.items():
        if hub == unit.language:
            break  # a hub is linked to the hubs before it; those after it link to it
        harvest.add(_hub_tasks(unit, hub, most))
    return harvest


def _hub_tasks(unit: Unit, hub: str, most: int) -> Harvest:
    return _translations(unit, hub, most=most, max_bytes=unit.config.max_chat_bytes)


def _further_tasks(unit: Unit) -> Harvest:
    limits = unit.config.cross_lingual
    return _translations(
        unit,
        ENGLISH,
        most=limits.pairs_per_further_language,
        max_bytes=min(limits.max_further_chat_bytes, unit.config.max_chat_bytes),
    )


def _translations(unit: Unit, hub: str, *, most: int, max_bytes: int) -> Harvest:
    pairs = open_pairs(unit.shards, unit.language, hub)
    to_hub_share = unit.config.cross_lingual.to_hub_share

    def make(index: int) -> Instruction | None:
        to_hub = draw(unit.seed, "to hub", pairs.names[index]) < to_hub_share
        target = hub if to_hub else unit.language
        pair = pairs.decode(index)
        if pair is None:
            return None
        return translation(pair, target=target, config=unit.config, seed=unit.seed)

    return take(
        in_drawn_order(range(len(pairs.names)), unit.seed, pairs.names.__getitem__),
        make,
        most=most,
        max_bytes=max_bytes,
        origin=TRANSLATION,
        language=unit.language,
    )


def translation(
    pair: Pair, *, target: str, config: InstructConfig, seed: int
) -> Instruction | None:
    """Make the task to translate a pair into one of its languages; none if it is unsuitable."""
    if target == pair.language_b:
        source, question, answer = pair.language_a, pair.text_a, pair.text_b
    else:
        source, question, answer = pair.language_b, pair.text_b, pair.text_a
    if not (is_suitable(question, source, config) and is_suitable(answer, target, config)):
        return None
    reader = _reader(source, target, draw(seed, "reader", pair.id), config)
    prompt = word_translation(
        question,
        source=source,
        target=target,
        reader=reader,
        draw=draw(seed, "wording", pair.id),
    )
    return Instruction(
        id=f"{TRANSLATION}/{pair.id}>{target}",
        language=target,
        prompt_language=reader,
        origin=TRANSLATION,
        license=pair.license,
        messages=(Message("user", prompt), Message("assistant", answer)),
    )


def _reader(source: str, target: str, drawn: float, config: InstructConfig) -> str:
    """Language to word the instruction in: mostly the answer's, so that it tells which to use."""
    first, second = (
        (target, source) if drawn < config.cross_lingual.native_share else (source, target)
    )
    return next((code for code in (first, second) if has_wording(code)), ENGLISH)


def _continuations(unit: Unit) -> Harvest:
    if not has_wording(unit.language):
        return Harvest()
    wording = load_templates().by_language[unit.language].continuation

    def make(passage: Passage) -> Instruction | None:
        sides = (passage.text, passage.following)
        if not all(is_suitable(side, unit.language, unit.config) for side in sides):
            return None
        prompt = wording.format(text=passage.text)
        return Instruction(
            id=f"{CONTINUATION}/{passage.name}",
            language=unit.language,
            prompt_language=unit.language,
            origin=CONTINUATION,
            license=passage.license,
            messages=(Message("user", prompt), Message("assistant", passage.following)),
        )

    most = unit.config.cross_lingual.continuations_per_language
    held = MIN_PASSAGES_HELD
    while True:
        passages, number = first_drawn(
            _all_passages(unit), unit.seed, lambda passage: passage.name, held
        )
        harvest = take(
            passages,
            make,
            most=most,
            max_bytes=unit.config.max_chat_bytes,
            origin=CONTINUATION,
            language=unit.language,
            num_candidates=number,
        )
        if len(harvest.instructions) == most or number <= held:
            return harvest
        held *= 8  # most passages were unsuitable: read the documents again for more


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph and the one after it."""

    name: str
    text: str
    following: str
    license: str


def _all_passages(unit: Unit) -> Iterator[Passage]:
    for document in read_documents(unit.shards / "documents" / unit.language):
        yield from _passages(document)


def _passages(document: Document) -> Iterator[Passage]:
    for number, (text, following) in enumerate(pairwise(document.text.split("\n"))):
        if text != following:
            yield Passage(f"{document.id}#{number}", text, following, document.license)


def held_out_tasks(
    shards: ShardSet, languages: tuple[str, ...], config: InstructConfig, seed: int
) -> list[Instruction]:
    """Make the prompts of held-out pairs: up to `held_out_per_language`, answers in the language.

    Raises StageError when a language has no suitable pair.
    """
    folder = shards.path / "held_out"
    of_language = {code: open_pairs(folder, code, ENGLISH) for code in languages if code != ENGLISH}
    tasks: list[Instruction] = []
    for language in languages:
        # English has no pairs with itself: it is the answer to every other language's.
        pairs = list(of_language.values()) if language == ENGLISH else [of_language[language]]
        tasks += _held_out_of(language, pairs, config, seed)
    return tasks


def _held_out_of(
    language: str, sets: list[Pairs], config: InstructConfig, seed: int
) -> list[Instruction]:
    candidates = [(pairs, index) for pairs in sets for index in range(len(pairs.names))]

    def make(candidate: tuple[Pairs, int]) -> Instruction | None:
        pair = candidate[0].decode(candidate[1])
        if pair is None:
            return None
        return translation(pair, target=language, config=config, seed=seed)

    found = take(
        in_drawn_order(candidates, seed, lambda candidate: candidate[0].names[candidate[1]]),
        make,
        most=config.held_out_per_language,
        max_bytes=config.max_chat_bytes,
        origin=TRANSLATION,
        language=language,
    ).instructions
    if not found:
        raise StageError(
            f"{get_language(language).english_name} ({language}) has no held-out pair of "
            f"{config.min_words} to {config.max_words} words to ask about; raise "
            "curate.held_out.share, or add pairs"
        )
    return found
