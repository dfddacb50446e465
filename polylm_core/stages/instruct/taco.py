"""Tasks in TaCo's form (`taco_form`) from what the pipeline has aligned with English.

The English side exists already: seed tasks are aligned by id, pairs by line, and headings of
documentation with their paragraphs by position. So nothing is generated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from polylm_core.records import Instruction
from polylm_core.stages.instruct.config import InstructConfig, TacoConfig
from polylm_core.stages.instruct.headings import Headed, headed_texts
from polylm_core.stages.instruct.pairs import open_pairs
from polylm_core.stages.instruct.parts_config import HeadedConfig
from polylm_core.stages.instruct.seeds import Seed
from polylm_core.stages.instruct.selection import (
    KEPT,
    Harvest,
    draw,
    in_drawn_order,
    is_suitable,
    take,
)
from polylm_core.stages.instruct.taco_form import (
    ORIGIN,
    PLAIN,
    Aligned,
    in_plain_form,
    in_taco_form,
)
from polylm_core.stages.instruct.templates import ENGLISH, has_wording, load_templates, word_about

T = TypeVar("T")

HELD_OUT = "held-out"
"""A heading or an answer that a held-out question has too."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The TaCo tasks of one language, to be made in one go."""

    language: str
    taco: TacoConfig
    config: InstructConfig
    shards: Path
    seeds: tuple[Seed, ...]
    """In the language; empty if it has none."""
    english_seeds: tuple[Seed, ...]
    seed_license: str
    seed: int


def make_tasks(unit: Unit) -> Harvest:
    """TaCo tasks of one language from the seeds, from pairs and from headed texts."""
    harvest = _from_seeds(unit)
    if has_wording(unit.language):
        harvest.add(_from_pairs(unit))
        if unit.taco.headed is not None:
            harvest.add(_from_headed(unit, unit.taco.headed))
    return harvest


def _from_seeds(unit: Unit) -> Harvest:
    english = {seed.id: seed for seed in unit.english_seeds}

    def align(seed: Seed) -> Aligned | None:
        other = english.get(seed.id)
        if other is None:
            return None
        return Aligned(
            f"seed_tasks/{unit.language}/{seed.id}",
            unit.language,
            unit.seed_license,
            english_instruction=other.question,
            english_response=other.output,
            question=seed.question,
            answer=seed.output,
        )

    return _take(unit, unit.seeds, align, most=len(unit.seeds))


def _from_pairs(unit: Unit) -> Harvest:
    own = load_templates().by_language[unit.language]
    english = load_templates().by_language[ENGLISH]
    pairs = open_pairs(unit.shards, unit.language, ENGLISH)

    def align(index: int) -> Aligned | None:
        pair = pairs.decode(index)
        if pair is None:
            return None
        sides = ((pair.text_a, pair.language_a), (pair.text_b, pair.language_b))
        if not all(is_suitable(text, language, unit.config) for text, language in sides):
            return None
        return Aligned(
            pair.id,
            unit.language,
            pair.license,
            english_instruction=english.question.format(text=pair.text_a),
            english_response=english.answer.format(text=pair.text_a),
            question=own.question.format(text=pair.text_b),
            answer=own.answer.format(text=pair.text_b),
        )

    # Another order than the translation tasks', which take the same pairs.
    in_order = in_drawn_order(
        range(len(pairs.names)), unit.seed, lambda index: f"{ORIGIN}/{pairs.names[index]}"
    )
    return _take(unit, in_order, align, most=unit.taco.pairs_per_language)


def _from_headed(unit: Unit, config: HeadedConfig) -> Harvest:
    held_out = headed_texts(open_pairs(unit.shards / "held_out", unit.language, ENGLISH), config)
    kept_apart = {text for row in held_out for text in (row.heading_a, row.heading_b, row.answer_b)}

    def align(row: Headed) -> Aligned | str:
        if not kept_apart.isdisjoint((row.heading_a, row.heading_b, row.answer_b)):
            return HELD_OUT
        return _about(row, unit.seed)

    return _take(unit, _drawn(unit, config, unit.shards), align, most=config.per_language)


def held_out_tasks(unit: Unit) -> list[Instruction]:
    """Questions about headings of held-out documents, in TaCo's form."""
    config = unit.taco.headed
    if config is None or not has_wording(unit.language):
        return []
    rows = _drawn(unit, config, unit.shards / "held_out")
    made = _take(
        unit, rows, lambda row: _about(row, unit.seed), most=config.held_out_per_language
    ).instructions
    return [task for task in made if task.origin == ORIGIN]


def _drawn(unit: Unit, config: HeadedConfig, folder: Path) -> list[Headed]:
    rows = headed_texts(open_pairs(folder, unit.language, ENGLISH), config)
    return in_drawn_order(rows, unit.seed, lambda row: f"{ORIGIN}/about/{row.name}")


def _about(row: Headed, seed: int) -> Aligned:
    drawn = draw(seed, "about", row.name)
    return Aligned(
        f"about/{row.name}",
        row.language,
        row.license,
        english_instruction=word_about(row.heading_a, reader=ENGLISH, draw=drawn),
        english_response=row.answer_a,
        question=word_about(row.heading_b, reader=row.language, draw=drawn),
        answer=row.answer_b,
    )


def _take(
    unit: Unit, candidates: Sequence[T], align: Callable[[T], Aligned | str | None], *, most: int
) -> Harvest:
    return take_aligned(
        candidates,
        align,
        most=most,
        language=unit.language,
        taco=unit.taco,
        max_bytes=unit.config.max_chat_bytes,
    )


def take_aligned(
    candidates: Sequence[T],
    align: Callable[[T], Aligned | str | None],
    *,
    most: int,
    language: str,
    taco: TacoConfig,
    max_bytes: int,
) -> Harvest:
    """Take tasks in TaCo's form, each also in the plain one if the parameters say so.

    `align` may return a reason to leave a candidate out.
    """
    made: dict[str, Aligned] = {}

    def make(candidate: T) -> Instruction | str | None:
        aligned = align(candidate)
        if not isinstance(aligned, Aligned):
            return aligned
        task = in_taco_form(aligned)
        made[task.id] = aligned
        return task

    harvest = take(
        candidates, make, most=most, max_bytes=max_bytes, origin=ORIGIN, language=language
    )
    if taco.also_plain:
        plain = [in_plain_form(made[task.id]) for task in harvest.instructions]
        harvest.instructions += plain
        harvest.funnel.count(PLAIN, language, KEPT, len(plain))
    return harvest
