"""Tasks that a teacher writes: the rounds of MultiAlpaca (PolyLM §4 and App. A), at a small size.

Each prompt shows three tasks, two seeds and one written in an earlier round (three seeds while
there is none), and asks for more. What passes the filters joins the pool that later rounds show.
A batch of languages is one unit of work; the answers of each round are stored as they come, so
that a stage that is killed asks nothing twice. A remote teacher stores each answer itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from polylm_core.records import Instruction, Message
from polylm_core.stages.instruct.answers import Task, continued, parse_answer
from polylm_core.stages.instruct.config import SelfInstructConfig
from polylm_core.stages.instruct.filters import Sieve, masked
from polylm_core.stages.instruct.prompts import NUM_DEMONSTRATIONS, OPENING, compose
from polylm_core.stages.instruct.seeds import SeedTasks
from polylm_core.stages.instruct.selection import KEPT, Harvest, draw, first_drawn
from polylm_core.storage import canonical_json, fingerprint, write_atomic
from polylm_core.teachers.config import PackageTeacher
from polylm_core.teachers.teacher import Answer, Sampling, Teacher, Usage, usage_of

ORIGIN = "self-instruct"
KEY_CHARACTERS = 12
"""Of a stored answer's key, in the ids of its tasks."""

SEEDED_BY = {
    "teacher",
    "languages",
    "languages_per_batch",
    "max_generated_tokens",
    "rounds",
    "tasks_per_prompt",
    "max_new_tokens",
    "max_demonstration_bytes",
    "temperature",
    "top_k",
    "max_redundancy",
    "max_redundancy_by_language",
    "max_similarity",
}
"""Settings that the seed of a batch is drawn from: named, so that a further one does not change
what is answered."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Some languages whose prompts are answered together."""

    seeds: Mapping[str, tuple[Task, ...]]
    """Seed tasks by language."""
    teacher: Teacher
    config: SelfInstructConfig
    seed: int
    work: Path
    """Folder for the answers of each round of a teacher that is not remote."""


@dataclass(frozen=True, slots=True)
class _Prompt:
    language: str
    round: int
    index: int
    """Its place among those of its round and language."""
    text: str


def make_units(
    seeds: SeedTasks, teacher: Teacher, config: SelfInstructConfig, seed: int, work: Path
) -> list[Unit]:
    """One unit for each batch of languages, or for all of them if the teacher is remote."""
    size = len(config.languages) if teacher.is_remote else config.languages_per_batch
    batches = [config.languages[at : at + size] for at in range(0, len(config.languages), size)]
    return [
        Unit(
            seeds={language: _tasks(seeds, language) for language in batch},
            teacher=teacher,
            config=config,
            seed=seed,
            work=work / ORIGIN,
        )
        for batch in batches
    ]


def _tasks(seeds: SeedTasks, language: str) -> tuple[Task, ...]:
    return tuple(
        Task(seed.instruction, seed.input, seed.output) for seed in seeds.by_language[language]
    )


def make_tasks(unit: Unit) -> tuple[Harvest, Usage]:
    """Run all rounds of a unit, and say what the answers took."""
    harvest, usage = Harvest(), Usage()
    pools: dict[str, list[Task]] = {language: [] for language in unit.seeds}
    sieves = {
        language: Sieve(language, unit.config, (seed.instruction for seed in seeds))
        for language, seeds in unit.seeds.items()
    }
    for number in range(1, unit.config.rounds + 1):
        prompts = [
            _compose(unit, language, pools[language], number, index)
            for language in unit.seeds
            for index in range(unit.config.prompts_of_round(number))
        ]
        answers = _answers(unit, prompts, number)
        usage += usage_of(answers)
        for prompt, answer in zip(prompts, answers, strict=True):
            _sift(unit, sieves[prompt.language], prompt, answer, pools[prompt.language], harvest)
    for language, sieve in sieves.items():
        harvest.funnel.measure(ORIGIN, language, sieve.measures)
    return harvest, usage


def _compose(unit: Unit, language: str, pool: list[Task], round: int, index: int) -> _Prompt:
    """Show two seeds and a task of the pool, or three seeds while there is none."""
    config, name = unit.config, f"{round}/{index}"
    short = [task for task in unit.seeds[language] if _size(task) <= config.max_demonstration_bytes]
    num_seeds = NUM_DEMONSTRATIONS - bool(pool)
    shown = [
        *_drawn(unit, short or list(unit.seeds[language]), f"{language}/{name}", num_seeds),
        *_drawn(unit, pool, f"{language}/{name}", 1),
    ]
    return _Prompt(language, round, index, compose(shown, language, config))


def _drawn(unit: Unit, tasks: list[Task], name: str, count: int) -> list[Task]:
    return first_drawn(tasks, unit.seed, lambda task: f"{name}/{task.instruction}", count)[0]


def _size(task: Task) -> int:
    return len(f"{task.instruction}{task.input}{task.output}".encode())


def _answers(unit: Unit, prompts: list[_Prompt], number: int) -> list[Answer]:
    """Ask the teacher, or read what it said when the same was asked before."""
    config = unit.config
    texts = [prompt.text for prompt in prompts]
    sampling = Sampling(config.max_new_tokens, config.temperature, config.top_k)
    if unit.teacher.is_remote:
        # Apart from what else is asked: one language more must not ask the others again.
        seed = int(draw(unit.seed, ORIGIN, number) * 2**32)
        return unit.teacher.ask(texts, sampling, seed)
    asked = fingerprint({"prompts": texts, "config": _decisive(config), "seed": unit.seed})
    file = unit.work / f"{'+'.join(unit.seeds)}.round-{number:02d}.json"
    if file.is_file():
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored["asked"] == asked:
            return [Answer(**answer) for answer in stored["answers"]]
    answers = unit.teacher.ask(texts, sampling, seed=int(draw(unit.seed, ORIGIN, asked) * 2**32))
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"asked": asked, "answers": [asdict(answer) for answer in answers]}
    write_atomic(file, canonical_json(content).encode())
    return answers


def _decisive(config: SelfInstructConfig) -> dict[str, Any]:
    """What the seed of a batch is drawn from, beside the prompts and the recipe's seed.

    A package needs no name of its kind: the model is pinned by its sha256.
    """
    is_package = isinstance(config.teacher, PackageTeacher)
    return config.model_dump(
        mode="json", include=SEEDED_BY, exclude={"teacher": {"kind"}} if is_package else None
    )


def _sift(
    unit: Unit, sieve: Sieve, prompt: _Prompt, answer: Answer, pool: list[Task], harvest: Harvest
) -> None:
    """Move the good tasks of one answer into the pool and the harvest, and count all.

    A task is named by round, prompt and its place in the answer, so that its name is the same
    whatever the filters take beside it; an endpoint's also by what its answer is stored under.
    """
    language, checks, funnel = sieve.language, unit.config.checks, harvest.funnel
    number = prompt.round
    if answer.failure:
        funnel.count(ORIGIN, language, answer.failure, round=number)
        return
    tasks, reasons = parse_answer(
        continued(answer.text, OPENING, language),
        is_complete=answer.is_complete,
        ends_at_blank_line=checks.answers_end_at_blank_line,
        language=language,
    )
    for reason in reasons:
        funnel.count(ORIGIN, language, reason, round=number)
    for place, task in enumerate(tasks, start=1):
        if checks.mask_personal_data:
            task, found = masked(task, language)
            funnel.measure(ORIGIN, language, found)
        task, drop = sieve.judge(task)
        funnel.count(ORIGIN, language, drop or KEPT, round=number)
        if drop is None:
            pool.append(task)
            sieve.learn(task.instruction)
            name = f"{ORIGIN}/{language}/{number:02d}-{prompt.index + 1:03d}-{place:02d}"
            name += f"/{answer.request[:KEY_CHARACTERS]}" if answer.request else ""
            harvest.rounds[name] = number
            harvest.instructions.append(
                as_instruction(task, name, ORIGIN, language, unit.config.teacher.license)
            )


def as_instruction(task: Task, name: str, origin: str, language: str, license: str) -> Instruction:
    """Turn a task into a chat: the input follows the instruction on a line of its own."""
    question = f"{task.instruction}\n{task.input}" if task.input else task.instruction
    return Instruction(
        id=name,
        language=language,
        prompt_language=language,
        origin=origin,
        license=license,
        messages=(Message("user", question), Message("assistant", task.output)),
    )
