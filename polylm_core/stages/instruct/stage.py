"""`instruct`: instructions to tune on, in every language, and held-out ones to evaluate with.

In: the curated pairs and documents, the evaluation sets of `data/01_documents`, the seed tasks of
`data/00_sources`, and the sets that others published, wherever they lie. Out: `train.parquet`,
`held_out.parquet`, and what `funnel_tables` writes: what became of everything looked at.
Three published ways meet here, each a part of the parameters that a recipe may leave out:
translation via hub languages (BayLing 2), English in between (TaCo), and tasks that a teacher
writes from seeds (PolyLM's MultiAlpaca). The order of the rows is that of their ids.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from polylm_core.artifacts import DocumentSet, InstructionSet, ShardSet, partial_folder
from polylm_core.records import INSTRUCTION_SCHEMA, Instruction, write_table
from polylm_core.stages.base import StageRun
from polylm_core.stages.instruct import (
    cross_lingual,
    funnel_tables,
    quality_tables,
    self_instruct,
    taco,
    translated,
)
from polylm_core.stages.instruct.answers import Task
from polylm_core.stages.instruct.composition import compose
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.stages.instruct.imports import sets as imported
from polylm_core.stages.instruct.seeds import FOLDER, SeedTasks
from polylm_core.stages.instruct.selection import KEPT, Funnel, Harvest, count_kept, fits
from polylm_core.stages.instruct.taco_sets import tasks_of_sets
from polylm_core.stages.instruct.templates import ENGLISH
from polylm_core.stages.instruct.together import sift_together
from polylm_core.stages.instruct.translated import obtain_seeds, open_translator
from polylm_core.storage import no_space_named
from polylm_core.teachers.config import OpenAITeacher
from polylm_core.teachers.endpoint import EndpointTeacher
from polylm_core.teachers.opening import Surroundings, open_teacher
from polylm_core.teachers.teacher import Usage
from polylm_core.translators.bureau import Bureau
from polylm_core.translators.quality import Quality

SEED = "seed"
"""Origin of the seed tasks when they are learned as they stand."""


def instruct(
    config: InstructConfig, documents: DocumentSet, shards: ShardSet, sources: Path, run: StageRun
) -> InstructionSet:
    """Make the instruction set.

    Of `documents`, only the evaluation sets are read, which no task may give away.
    Raises StageError, SourceError, MachineError or TeacherError when pairs, seed tasks or the
    teacher are not what the parameters ask for.
    """
    with open_translator(config, shards, run, _surroundings(run)) as bureau:
        found = obtain_seeds(config, sources, bureau, run.seed)
        quality_tables.show(found.quality, run.progress)
        sets = imported.locate(config.imports, sources, run, config.max_chat_bytes)
        held_out = _held_out(config, shards, found.seeds, run)
        harvest = Harvest(funnel=found.refused)
        harvest.add(_made(config, documents, shards, found.seeds, run))
        published = _published(config, sets, documents, shards, bureau, run)
    harvest.add(published.harvest)
    harvest = _without_held_out(harvest, held_out)
    harvest, division = compose(harvest, config.composition, run.seed)
    train = sorted(harvest.instructions, key=lambda row: row.id)
    partial = _write(train, held_out, harvest.funnel, run)
    quality_tables.write([*found.quality, *published.quality], partial)
    if division is not None:
        run.progress.say(division.describe(config.composition.shares))
    return run.publish(
        InstructionSet,
        partial,
        config,
        inputs={"ingest": documents, "curate": shards},
        pinned={} if found.seeds is None else {FOLDER: found.seeds.fingerprint},
        counts={
            "train": len(train),
            "held_out": len(held_out),
            "train_by_origin": count_kept(train),
            "held_out_by_language": dict(sorted(Counter(row.language for row in held_out).items())),
            "imports": published.counts,
            **({} if division is None else {"composition": division.as_counts()}),
        },
    )


def _held_out(
    config: InstructConfig, shards: ShardSet, seeds: SeedTasks | None, run: StageRun
) -> list[Instruction]:
    tasks = cross_lingual.held_out_tasks(shards, run.languages, config, run.seed)
    for unit in _taco_units(config, shards, seeds, run):
        tasks += taco.held_out_tasks(unit)
    return tasks


@dataclass
class _Published:
    """The imported sets and what was made of them."""

    harvest: Harvest
    counts: dict[str, dict[str, int]]
    """How many items each set has."""
    quality: list[Quality] = field(default_factory=list)
    """How well the translation of some did."""


def _published(
    config: InstructConfig,
    sets: list[imported.Unit],
    documents: DocumentSet,
    shards: ShardSet,
    bureau: Bureau | None,
    run: StageRun,
) -> _Published:
    made = _Published(*imported.read_all(sets, run))
    if sets:
        made.harvest = sift_together(made.harvest, config.import_checks, documents, shards)
        rows = made.harvest.instructions
        in_taco_form = tasks_of_sets(config, rows, documents, shards, bureau, run.seed)
        quality_tables.show(in_taco_form.quality, run.progress)
        made.harvest.add(in_taco_form.harvest)
        made.quality = in_taco_form.quality
    return made


def _made(
    config: InstructConfig,
    documents: DocumentSet,
    shards: ShardSet,
    seeds: SeedTasks | None,
    run: StageRun,
) -> Harvest:
    harvest = Harvest()
    if seeds is not None:  # first, because a missing teacher should be told at once
        harvest.add(_self_instruct(config, documents, shards, seeds, run))
        harvest.add(_taco(config, shards, seeds, run))
    harvest.add(_cross_lingual(config, shards, run))
    return harvest


def _write(
    train: list[Instruction], held_out: list[Instruction], funnel: Funnel, run: StageRun
) -> Path:
    """Write the files of the artifact, and show people what became of everything."""
    partial = partial_folder(run.out)
    with no_space_named(partial):
        write_table(partial / "train.parquet", train, INSTRUCTION_SCHEMA)
        write_table(partial / "held_out.parquet", held_out, INSTRUCTION_SCHEMA)
        funnel_tables.write(partial, funnel)
    funnel_tables.show(funnel, run.progress)
    return partial


def _cross_lingual(config: InstructConfig, shards: ShardSet, run: StageRun) -> Harvest:
    units = cross_lingual.make_units(shards, run.languages, config, run.seed)
    harvest = Harvest()
    with run.progress.track("cross-lingual tasks", len(units), "languages") as tracker:
        for part in run.backend.map(cross_lingual.make_tasks, units):
            harvest.add(part)
            tracker.advance()
    return harvest


def _taco(config: InstructConfig, shards: ShardSet, seeds: SeedTasks, run: StageRun) -> Harvest:
    harvest = Harvest()
    units = _taco_units(config, shards, seeds, run)
    if not units:
        return harvest
    with run.progress.track("TaCo tasks", len(units), "languages") as tracker:
        for part in run.backend.map(taco.make_tasks, units):
            harvest.add(part)
            tracker.advance()
    return harvest


def _taco_units(
    config: InstructConfig, shards: ShardSet, seeds: SeedTasks | None, run: StageRun
) -> list[taco.Unit]:
    if config.taco is None or seeds is None:
        return []
    return [
        taco.Unit(
            language=language,
            taco=config.taco,
            config=config,
            shards=shards.path,
            seeds=seeds.by_language.get(language, ()),
            english_seeds=seeds.by_language.get(ENGLISH, ()),
            seed_license=seeds.license_of(language),
            seed=run.seed,
        )
        for language in sorted(run.languages)
        if language != ENGLISH
    ]


def _self_instruct(
    config: InstructConfig,
    documents: DocumentSet,
    shards: ShardSet,
    seeds: SeedTasks,
    run: StageRun,
) -> Harvest:
    settings = config.self_instruct
    harvest = Harvest()
    if settings is None:
        return harvest
    prices = settings.teacher.prices if isinstance(settings.teacher, OpenAITeacher) else None
    num_prompts = settings.num_prompts
    with run.progress.track("self-instruct", num_prompts, "answers") as tracker:

        def show(usage: Usage, amount: int = 1) -> None:
            tracker.advance(amount, usage.describe(prices))

        with open_teacher(
            settings.teacher, _surroundings(run), num_prompts=num_prompts, on_answer=show
        ) as teacher:
            units = self_instruct.make_units(seeds, teacher, settings, run.seed, run.work)
            # A remote teacher is asked by one process, which knows what it has cost.
            made = (map if teacher.is_remote else run.backend.map)(self_instruct.make_tasks, units)
            used = Usage()
            for part, usage in made:
                harvest.add(part)
                used += usage
                if not teacher.is_remote:
                    show(used, usage.answers)
            doubt = teacher.doubt if isinstance(teacher, EndpointTeacher) else ""
    run.progress.say(f"self-instruct: {used.answers:,} answers, {used.describe(prices)}{doubt}")
    harvest = sift_together(harvest, settings.checks, documents, shards)
    harvest.add(_seeds_as_they_stand(config, seeds, settings.languages))
    return harvest


def _surroundings(run: StageRun) -> Surroundings:
    return Surroundings(run.endpoints, run.source_locations, run.kept / "answers.sqlite")


def _seeds_as_they_stand(
    config: InstructConfig, seeds: SeedTasks, languages: tuple[str, ...]
) -> Harvest:
    harvest = Harvest()
    for language in languages:
        origin = translated.ORIGIN if language in seeds.translated else SEED
        for seed in seeds.by_language[language]:
            row = self_instruct.as_instruction(
                Task(seed.instruction, seed.input, seed.output),
                f"{origin}/{language}/{seed.id}",
                origin,
                language,
                seeds.license_of(language),
            )
            is_short = fits(row, config.max_chat_bytes)
            harvest.funnel.count(origin, language, KEPT if is_short else "too-long")
            harvest.instructions += [row] if is_short else []
    return harvest


def _without_held_out(harvest: Harvest, held_out: list[Instruction]) -> Harvest:
    """The rows of which none has a question or an answer of a held-out prompt."""
    kept_apart = {
        message.content for row in held_out for message in row.messages if message.role != "system"
    }
    apart = Harvest()
    apart.add(harvest)
    apart.drop(
        {
            number: "held-out"
            for number, row in enumerate(apart.instructions)
            if any(message.content in kept_apart for message in row.messages)
        }
    )
    return apart
