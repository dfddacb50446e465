"""Seed tasks of languages that have none: the English ones, translated (PolyLM App. A).

A seed whose input and output are the same in every language (`keep`) has its instruction translated
alone. A seed of which a part is refused is counted and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from polylm_core.artifacts import ShardSet
from polylm_core.stages.base import StageRun
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.stages.instruct.seeds import Seed, SeedTasks, needed_seeds
from polylm_core.stages.instruct.selection import Funnel
from polylm_core.stages.instruct.templates import ENGLISH
from polylm_core.teachers.opening import Surroundings
from polylm_core.translators.bureau import Bureau
from polylm_core.translators.instructions import both_licenses
from polylm_core.translators.opening import open_bureau
from polylm_core.translators.quality import Quality, round_trip
from polylm_core.translators.translator import Translation

ORIGIN = "seed-translated"
"""Of the seeds that were translated, as they stand or refused."""
TEXTS = "seed tasks"
"""What their samples are called in the table of the translations' quality."""


@dataclass
class FoundSeeds:
    """All seeds, and how well the translation of some did."""

    seeds: SeedTasks | None = None
    """None where the parameters need none."""
    refused: Funnel = field(default_factory=Funnel)
    quality: list[Quality] = field(default_factory=list)


@contextmanager
def open_translator(
    config: InstructConfig, shards: ShardSet, run: StageRun, surroundings: Surroundings
) -> Iterator[Bureau | None]:
    """Open the translator of the parameters, none where they name none.

    It is open once for all that is translated, because its budget is that of all of it. Its work is
    kept in the stage's folder. Raises MachineError, TranslatorError or TeacherError.
    """
    if config.translate is None:
        yield None
        return
    with open_bureau(
        config.translate,
        surroundings,
        shards=shards.path,
        work=run.work / "translations",
        backend=run.backend,
        progress=run.progress,
    ) as bureau:
        yield bureau


def obtain_seeds(
    config: InstructConfig, sources: Path, bureau: Bureau | None, seed: int
) -> FoundSeeds:
    """Read the seeds that the parameters need, and translate those that they name.

    Raises SourceError, ParamsError, MachineError, TranslatorError or TeacherError.
    """
    seeds = needed_seeds(config, sources)  # tells what is missing before anything is translated
    if seeds is None or bureau is None:
        return FoundSeeds(seeds)
    return translate_seeds(seeds, bureau, seed)


def translate_seeds(seeds: SeedTasks, bureau: Bureau, seed: int) -> FoundSeeds:
    """Add the languages that the parameters name to the seeds.

    Raises TranslatorError for languages that the translator does not know, and TeacherError.
    """
    languages = bureau.config.languages
    bureau.require_from(ENGLISH, languages)
    english = seeds.by_language[ENGLISH]
    made = FoundSeeds(seeds)
    added: dict[str, tuple[Seed, ...]] = {}
    for language in languages:
        texts = [text for each in english for text in _texts(each)]
        translations = bureau.translate(texts, ENGLISH, language)
        added[language] = tuple(_seeds(english, iter(translations), language, made.refused))
        if bureau.config.round_trip_samples:
            both = zip(texts, translations, strict=True)
            known = {text: other.text for text, other in both if text and not other.refusal}
            done = round_trip(bureau, known, ENGLISH, language, texts=TEXTS, seed=seed)
            made.quality.append(done)
    license = both_licenses(seeds.license, bureau.config.translator.license)
    made.seeds = seeds.model_copy(
        update={
            "by_language": {**seeds.by_language, **added},
            "translated": dict.fromkeys(languages, license),
        }
    )
    return made


def _texts(seed: Seed) -> tuple[str, ...]:
    return (seed.instruction,) if seed.keep else (seed.instruction, seed.input, seed.output)


def _seeds(
    english: Sequence[Seed], translations: Iterator[Translation], language: str, refused: Funnel
) -> Iterator[Seed]:
    for seed in english:
        parts = [next(translations) for _ in _texts(seed)]
        reason = next((part.refusal for part in parts if part.refusal), "")
        if reason:
            refused.count(ORIGIN, language, reason)
            continue
        instruction = parts[0].text
        kept = (seed.input, seed.output) if seed.keep else (parts[1].text, parts[2].text)
        yield Seed(
            id=seed.id, instruction=instruction, input=kept[0], output=kept[1], keep=seed.keep
        )
