"""TaCo from published sets (arXiv 2311.10797): English tasks, their translation, both in one chat.

The paper takes Alpaca and Dolly. A task of more than one question and answer has no such form and
is counted, as is one that the translator refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from polylm_core.artifacts import ShardSet
from polylm_core.languages import ENGLISH
from polylm_core.records import Instruction
from polylm_core.stages.base import StageRun
from polylm_core.stages.instruct.config import InstructConfig, TacoConfig
from polylm_core.stages.instruct.selection import Harvest
from polylm_core.stages.instruct.taco import take_aligned
from polylm_core.stages.instruct.taco_form import ORIGIN, align
from polylm_core.stages.instruct.translated import bureau_of
from polylm_core.teachers.opening import Surroundings
from polylm_core.translators.bureau import Bureau
from polylm_core.translators.instructions import AlignedSet, translate_instructions
from polylm_core.translators.quality import Quality, round_trip

NOT_ONE_ANSWER = "not-one-answer"
TEXTS = "imported sets"
"""What their samples are called in the table of the translations' quality."""


@dataclass
class TranslatedSets:
    """The tasks of all sets, and how well their translation did."""

    harvest: Harvest = field(default_factory=Harvest)
    quality: list[Quality] = field(default_factory=list)
    """A row for each language, over all sets that are brought into it."""


def tasks_of_sets(
    config: InstructConfig,
    published: Sequence[Instruction],
    shards: ShardSet,
    run: StageRun,
    surroundings: Surroundings,
) -> TranslatedSets:
    """Translate the sets that the parameters name, and a sample of their texts back.

    Raises TranslatorError, TeacherError or MachineError.
    """
    if config.taco is None or not config.taco.from_imports or config.translate is None:
        return TranslatedSets()
    wanted = config.taco.from_imports
    made = TranslatedSets()
    known: dict[str, dict[str, str]] = {code: {} for codes in wanted.values() for code in codes}
    with bureau_of(config.translate, shards, run, surroundings) as bureau:
        bureau.require_from(ENGLISH, sorted(known))
        for name, languages in sorted(wanted.items()):
            rows = [row for row in published if row.origin == name]
            found = translate_instructions(rows, languages, bureau)
            made.harvest.add(in_three_parts(found, languages, config.taco, config.max_chat_bytes))
            for language in languages:
                known[language] |= found.known(language)
        if config.translate.round_trip_samples:
            made.quality = _round_trips(known, bureau, run.seed)
    return made


def _round_trips(
    known: Mapping[str, Mapping[str, str]], bureau: Bureau, seed: int
) -> list[Quality]:
    return [
        round_trip(bureau, translations, ENGLISH, language, texts=TEXTS, seed=seed)
        for language, translations in sorted(known.items())
    ]


def in_three_parts(
    found: AlignedSet, languages: Sequence[str], taco: TacoConfig, max_bytes: int
) -> Harvest:
    """Make the tasks of English rows and their translations into each of the languages."""
    harvest = Harvest()
    for (language, reason), amount in sorted(found.refused.items()):
        harvest.funnel.count(ORIGIN, language, reason, amount)
    for language in languages:
        of_language = [row for row in found.rows if row.translated.language == language]
        harvest.add(
            take_aligned(
                of_language,
                lambda row: align(row.english, row.translated) or NOT_ONE_ANSWER,
                most=len(of_language),
                language=language,
                taco=taco,
                max_bytes=max_bytes,
            )
        )
    return harvest
