"""TaCo from published sets (arXiv 2311.10797): English tasks, their translation, both in one chat.

The paper takes Alpaca and Dolly. A task of more than one question and answer has no such form and
is counted, as is one that the translator refuses.
"""

from __future__ import annotations

from collections.abc import Sequence

from polylm_core.artifacts import ShardSet
from polylm_core.records import Instruction
from polylm_core.stages.base import StageRun
from polylm_core.stages.instruct.config import InstructConfig, TacoConfig
from polylm_core.stages.instruct.selection import Harvest
from polylm_core.stages.instruct.taco import take_aligned
from polylm_core.stages.instruct.taco_form import ORIGIN, align
from polylm_core.stages.instruct.translated import bureau_of
from polylm_core.teachers.opening import Surroundings
from polylm_core.translators.bureau import Bureau
from polylm_core.translators.instructions import translate_instructions

NOT_ONE_ANSWER = "not-one-answer"


def tasks_of_sets(
    config: InstructConfig,
    published: Sequence[Instruction],
    shards: ShardSet,
    run: StageRun,
    surroundings: Surroundings,
) -> Harvest:
    """Translate the sets that the parameters name.

    Raises TranslatorError, TeacherError or MachineError.
    """
    if config.taco is None or not config.taco.from_imports or config.translate is None:
        return Harvest()
    harvest = Harvest()
    with bureau_of(config.translate, shards, run, surroundings) as bureau:
        for name, languages in sorted(config.taco.from_imports.items()):
            rows = [row for row in published if row.origin == name]
            harvest.add(in_three_parts(rows, languages, bureau, config.taco, config.max_chat_bytes))
    return harvest


def in_three_parts(
    rows: Sequence[Instruction],
    languages: Sequence[str],
    bureau: Bureau,
    taco: TacoConfig,
    max_bytes: int,
) -> Harvest:
    """Make the tasks of English rows in each of the languages."""
    found = translate_instructions(rows, languages, bureau)
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
