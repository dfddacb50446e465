"""Contamination: which items of an evaluation set occur in what the models were trained on.

An item is contaminated when one of its texts shares a run of 13 words with the training text of its
language (30 characters where no spaces stand between words), as in GPT-3 (arXiv 2005.14165,
appendix C), or, where it is shorter than that, equals a line of it. The documents that share
anything with the items are found by an index of the items, and then the items by an index of those
documents; so neither index grows with the training text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from polylm_core.artifacts import InstructionSet, ShardSet
from polylm_core.characters import composed, from_strings
from polylm_core.contamination import ContaminationIndex, build_index
from polylm_core.evaluation_text import held_out_texts
from polylm_core.languages import ENGLISH, get_language
from polylm_core.records import read_instructions
from polylm_core.stages.base import StageRun
from polylm_core.stages.evaluate.config import ContaminationConfig
from polylm_core.stages.evaluate.intervals import wilson
from polylm_core.stages.evaluate.tables import (
    ALL_LANGUAGES,
    Answer,
    ContaminatedItem,
    Score,
    Translation,
)

SUITE = "contamination"
BATCH_TEXTS = 1000
Items = Mapping[str, Sequence[str]]
"""Text of each item of a set in one language, its parts in lines of their own, by set."""


@dataclass(frozen=True)
class OverlapUnit:
    """All sets in one language."""

    language: str
    items: Items


@dataclass(frozen=True)
class Overlap:
    """Whether each item of each set of a language was trained on, by model and set."""

    language: str
    flags: Mapping[tuple[str, str], Sequence[bool]]


@dataclass(frozen=True)
class Overlapped:
    """What was found in all languages."""

    scores: Sequence[Score] = ()
    items: Sequence[ContaminatedItem] = ()
    """Every item that was found."""


def evaluated_items(
    config: ContaminationConfig,
    answers: Sequence[Answer],
    translations: Sequence[Translation],
    published: Iterable[tuple[str, str, Mapping[str, Any]]],
) -> list[OverlapUnit]:
    """The items of all sets by language; `published` are (set, language, item).

    Of the stage's own sets what has to be written counts. Items without a line that is long enough
    are left out.
    """
    found: dict[str, dict[str, list[str]]] = {}

    def add(name: str, language: str, text: str) -> None:
        lines = [line for line in text.splitlines() if _is_long(config, line, language)]
        if lines:
            found.setdefault(language, {}).setdefault(name, []).append("\n".join(lines))

    for answer in answers:
        add("answers", answer.language, answer.reference)
    for row in translations:
        written = row.language if row.direction == "from_english" else ENGLISH
        add("translation", written, row.reference)
    for name, language, item in published:
        if "target_code" in item:  # of a translation the reference, as of the stage's own
            add(name, item["target_code"], item["reference"])
        else:
            add(name, language, item_text(item))
    return [OverlapUnit(language, items) for language, items in sorted(found.items())]


def item_text(value: Any) -> str:
    """All strings in an item of a published set, whatever its fields are, in lines."""
    if isinstance(value, str):
        return value
    parts: Iterable[Any] = ()
    if isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    return "\n".join(text for part in parts if (text := item_text(part)))


def _is_long(config: ContaminationConfig, line: str, language: str) -> bool:
    are_words = get_language(language).words == "spaces"
    least = config.min_line_letters if are_words else config.min_line_letters_unspaced
    return sum(map(str.isalpha, line)) >= least


def measure_overlap(
    config: ContaminationConfig,
    units: Sequence[OverlapUnit],
    shards: ShardSet,
    instructions: InstructionSet,
    run: StageRun,
) -> Overlapped:
    """Look for all items in the training text; the chat model has read the instructions too."""
    look = partial(find_overlap, config, shards.path, instructions.path / "train.parquet")
    overlaps: list[Overlap] = []
    with run.progress.track("contamination", len(units), "languages") as tracker:
        for overlap in run.backend.map(look, units):
            overlaps.append(overlap)
            tracker.advance(note=overlap.language)
    return Overlapped(_scores(overlaps), _found(units, overlaps))


def find_overlap(
    config: ContaminationConfig, shards: Path, instructions: Path, unit: OverlapUnit
) -> Overlap:
    """Look for the items of one language in `shards` and in the instructions of a file."""
    every = [text for texts in unit.items.values() for text in texts]
    items = _index(config, unit.language, every)
    sources = {
        "base": held_out_texts(shards, unit.language),  # the layout is that of what is held out
        "chat": _instruction_texts(instructions, unit.language),
    }
    known = {name: [False] * len(texts) for name, texts in unit.items.items()}
    flags: dict[tuple[str, str], Sequence[bool]] = {}
    for model, batches in sources.items():
        shared = _index(config, unit.language, list(_sharing(items, batches)))
        for name, texts in unit.items.items():
            known[name] = [
                before or _occurs(shared, [text])
                for before, text in zip(known[name], texts, strict=True)
            ]
            flags[model, name] = known[name]
    return Overlap(unit.language, flags)


def _index(config: ContaminationConfig, language: str, texts: Sequence[str]) -> ContaminationIndex:
    return build_index(
        language,
        [from_strings(composed(texts))],
        ngram_words=config.ngram_words,
        ngram_characters=config.ngram_characters,
    )


def _occurs(index: ContaminationIndex, texts: Sequence[str]) -> bool:
    return bool(index.contaminated(from_strings(composed(texts))).any())


def _sharing(index: ContaminationIndex, batches: Iterable[list[str]]) -> Iterator[str]:
    """The training texts that share anything with the items."""
    for batch in batches:
        if _occurs(index, batch):
            yield from (text for text in batch if _occurs(index, [text]))


def _instruction_texts(path: Path, language: str) -> Iterator[list[str]]:
    batch: list[str] = []
    for row in read_instructions(path):
        if language in (row.language, row.prompt_language):
            batch += [message.content for message in row.messages]
        if len(batch) >= BATCH_TEXTS:
            yield batch
            batch = []
    yield batch


def _scores(overlaps: Sequence[Overlap]) -> list[Score]:
    """Share of contaminated items by model, set and language, and of all languages together."""
    scores = []
    for model, name in sorted({pair for overlap in overlaps for pair in overlap.flags}):
        by_language = {
            overlap.language: overlap.flags[model, name]
            for overlap in overlaps
            if (model, name) in overlap.flags
        }
        whole = [flag for flags in by_language.values() for flag in flags]
        for language, flags in {ALL_LANGUAGES: whole, **by_language}.items():
            share = sum(flags) / len(flags)
            low, high = wilson(sum(flags), len(flags))
            metric = f"{name}_share"
            scores.append(Score(model, SUITE, metric, language, share, low, high, len(flags), None))
    return scores


def _found(units: Sequence[OverlapUnit], overlaps: Sequence[Overlap]) -> list[ContaminatedItem]:
    return [
        ContaminatedItem(model, name, unit.language, text)
        for unit, overlap in zip(units, overlaps, strict=True)
        for (model, name), flags in overlap.flags.items()
        for text, flag in zip(unit.items[name], flags, strict=True)
        if flag
    ]
