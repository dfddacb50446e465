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
from polylm_core.stages.instruct.selection import KEPT, Harvest, fits
from polylm_core.stages.instruct.taco_form import (
    ORIGIN,
    align,
    in_plain_form,
    in_taco_form,
)
from polylm_core.teachers.opening import Surroundings
from polylm_core.translators.bureau import Bureau
from polylm_core.translators.instructions import translate_instructions
from polylm_core.translators.opening import open_bureau

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
    with open_bureau(
        config.translate,
        surroundings,
        shards=shards.path,
        work=run.work / "translations",
        backend=run.backend,
        progress=run.progress,
    ) as bureau:
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
    for row in found.rows:
        language = row.translated.language
        aligned = align(row.english, row.translated)
        if aligned is None:
            harvest.funnel.count(ORIGIN, language, NOT_ONE_ANSWER)
        elif not fits(in_taco_form(aligned), max_bytes):
            harvest.funnel.count(ORIGIN, language, "too-long")
        else:
            made = [in_taco_form(aligned), *([in_plain_form(aligned)] if taco.also_plain else [])]
            harvest.instructions += made
            for task in made:
                harvest.funnel.count(task.origin, language, KEPT)
    return harvest
