"""TaCo from published sets (arXiv 2311.10797): English tasks, their translation, both in one chat.

The paper takes Alpaca and Dolly. A task of more than one question and answer has no such form and
is counted, as is one that the translator refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from polylm_core.artifacts import DocumentSet, ShardSet
from polylm_core.contamination import REASON as CONTAMINATED
from polylm_core.languages import ENGLISH
from polylm_core.records import Instruction
from polylm_core.stages.instruct.config import InstructConfig, TacoConfig
from polylm_core.stages.instruct.selection import Harvest
from polylm_core.stages.instruct.taco import take_aligned
from polylm_core.stages.instruct.taco_form import ORIGIN, align
from polylm_core.stages.instruct.together import contaminated
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
    documents: DocumentSet,
    shards: ShardSet,
    bureau: Bureau | None,
    seed: int,
) -> TranslatedSets:
    """Translate the sets that the parameters name, and a sample of their texts back.

    `documents` and `shards` have what no translation may give away. Raises TranslatorError,
    TeacherError or MachineError.
    """
    if config.taco is None or not config.taco.from_imports or bureau is None:
        return TranslatedSets()
    wanted = config.taco.from_imports
    made = TranslatedSets()
    known: dict[str, dict[str, str]] = {code: {} for codes in wanted.values() for code in codes}
    bureau.require_from(ENGLISH, sorted(known))
    for name, languages in sorted(wanted.items()):
        rows = [row for row in published if row.origin == name]
        found = translate_instructions(rows, languages, bureau)
        for language in languages:
            known[language] |= found.known(language)
        _drop_given_away(found, config, documents, shards)
        made.harvest.add(in_three_parts(found, languages, config.taco, config.max_chat_bytes))
    if bureau.config.round_trip_samples:
        made.quality = _round_trips(known, bureau, seed)
    return made


def _drop_given_away(
    found: AlignedSet, config: InstructConfig, documents: DocumentSet, shards: ShardSet
) -> None:
    """Drop translations that share text with what is evaluated on in their own language.

    Near duplicates are not looked for: the rows came without, and the same code in two languages
    is no reason to leave one of them without.
    """
    check = config.import_checks.held_out_text
    if check is None:
        return
    rows = [row.translated for row in found.rows]
    given_away = set(contaminated(rows, check, documents, shards))
    found.refused.update((rows[number].language, CONTAMINATED) for number in given_away)
    found.rows = [row for number, row in enumerate(found.rows) if number not in given_away]


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
