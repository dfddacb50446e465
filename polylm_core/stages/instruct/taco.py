"""TaCo's form (arXiv 2311.10797): think in English, answer in the language asked.

A system line asks for it, and the answer has three labelled parts: the instruction in English, the
response in English, the response in the language. The English side exists already (seed tasks are
aligned by id, pairs by line), so nothing is generated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from polylm_core.languages import get_language
from polylm_core.records import Instruction, Message
from polylm_core.stages.instruct.config import InstructConfig, TacoConfig
from polylm_core.stages.instruct.pairs import open_pairs
from polylm_core.stages.instruct.seeds import Seed
from polylm_core.stages.instruct.selection import Harvest, in_drawn_order, is_suitable, take
from polylm_core.stages.instruct.templates import ENGLISH, has_wording, load_templates

ORIGIN = "taco"


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
    """TaCo tasks from the seeds and from aligned pairs of one language."""
    harvest = _from_seeds(unit)
    if has_wording(unit.language):
        harvest.add(_from_pairs(unit))
    return harvest


def _from_seeds(unit: Unit) -> Harvest:
    english = {seed.id: seed for seed in unit.english_seeds}

    def make(seed: Seed) -> Instruction | None:
        other = english.get(seed.id)
        if other is None:
            return None
        return _task(
            f"{ORIGIN}/seed_tasks/{unit.language}/{seed.id}",
            unit.language,
            unit.seed_license,
            question=seed.question,
            # TaCo's "Instruction in English" carries no input (its output template has none).
            english=(other.instruction, other.output),
            answer=seed.output,
        )

    return take(
        unit.seeds,
        make,
        most=len(unit.seeds),
        max_bytes=unit.config.max_chat_bytes,
        origin=ORIGIN,
        language=unit.language,
    )


def _from_pairs(unit: Unit) -> Harvest:
    own = load_templates().by_language[unit.language]
    english = load_templates().by_language[ENGLISH]

    pairs = open_pairs(unit.shards, unit.language, ENGLISH)

    def make(index: int) -> Instruction | None:
        pair = pairs.decode(index)
        if pair is None:
            return None
        sides = ((pair.text_a, pair.language_a), (pair.text_b, pair.language_b))
        if not all(is_suitable(text, language, unit.config) for text, language in sides):
            return None
        return _task(
            f"{ORIGIN}/{pair.id}",
            unit.language,
            pair.license,
            question=own.question.format(text=pair.text_b),
            english=(
                english.question.format(text=pair.text_a),
                english.answer.format(text=pair.text_a),
            ),
            answer=own.answer.format(text=pair.text_b),
        )

    return take(
        # Another order than the translation tasks', which take the same pairs.
        in_drawn_order(
            range(len(pairs.names)), unit.seed, lambda index: f"{ORIGIN}/{pairs.names[index]}"
        ),
        make,
        most=unit.taco.pairs_per_language,
        max_bytes=unit.config.max_chat_bytes,
        origin=ORIGIN,
        language=unit.language,
    )


def _task(
    name: str,
    language: str,
    license: str,
    *,
    question: str,
    english: tuple[str, str],
    answer: str,
) -> Instruction:
    title = get_language(language).english_name
    instruction, response = english
    return Instruction(
        id=name,
        language=language,
        prompt_language=language,
        origin=ORIGIN,
        license=license,
        messages=(
            Message("system", f"Say it in English, answer in English, then in {title}."),
            Message("user", question),
            Message(
                "assistant",
                f"Instruction in English: {instruction}\n"
                f"Response in English: {response}\n"
                f"Response in {title}: {answer}",
            ),
        ),
    )
