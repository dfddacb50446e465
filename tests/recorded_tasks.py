"""A teacher that answers from recorded tasks in MultiAlpaca's eleven languages, and seeds of them.

Spanish and Japanese are the released tasks where they lie in ../shared/data; the other languages
are made of the interface texts of `data/00_sources`. Which tasks an answer has, and what is wrong
with some of them, follows from the seed of the request alone.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from polylm_core.languages import get_language
from polylm_core.stages.instruct.answers import NO_INPUT, Task, load_labels, parse_answer
from tests.architecture.closure import ROOT

RELEASED = {"spa_Latn": "es.jsonl.zst", "jpn_Jpan": "ja.jsonl.zst"}
SHARED = ROOT.parent / "shared/data/multialpaca"
INTERFACE = ROOT / "data/00_sources/chromium-l10n"
LANGUAGES = (
    *("arb_Arab", "deu_Latn", "spa_Latn", "fra_Latn", "ind_Latn", "jpn_Jpan", "kor_Hang"),
    *("por_Latn", "rus_Cyrl", "tha_Thai", "vie_Latn"),
)
NUM_SEEDS = 162
"""Of PolyLM's appendix A."""
TASKS_PER_ANSWER = 17
FIRST_NUMBER = 4
MAILBOX = "ann@example.org"

_TITLES = {get_language(code).english_name: code for code in LANGUAGES}
_ASKED = re.compile(r"Instruction, input and output are in ([\w ]+)\.")


@cache
def recorded(language: str) -> tuple[Task, ...]:
    """The tasks of a language, in an order that never changes; its seeds are the first ones.

    They are as they are read from an answer: `<noinput>` and its kin are no input. One with a line
    that could be a numbered part of a task is left out.
    """
    found = []
    for task in _texts(language):
        tasks, reasons = parse_answer(
            "".join(_lines(task, 1, ("Instruction", "Input", "Output"))),
            is_complete=True,
            ends_at_blank_line=False,
            language=language,
        )
        found += tasks if not reasons else []
    return tuple(found)


def _texts(language: str) -> tuple[Task, ...]:
    released = SHARED / RELEASED.get(language, "none")
    if released.is_file():
        with pa.OSFile(str(released)) as file:
            content = pa.CompressedInputStream(file, "zstd").read()
        rows = map(json.loads, bytes(content).splitlines())
        return tuple(
            Task(row["instruction"], row["input"] or "", row["output"])
            for row in rows
            if row["instruction"] and row["output"]
        )
    text = lzma.open(INTERFACE / f"{language}.txt.xz").read().decode()
    lines = list(dict.fromkeys(line for line in text.splitlines() if "{" not in line))
    questions = [line for line in lines if 10 <= len(line) <= 100]
    answers = [line for line in lines if len(line) >= 30]
    return tuple(
        Task(question, answers[-number % 400] if number % 3 == 0 else "", answers[number])
        for number, question in enumerate(questions[: len(answers)])
    )


def write_seeds(folder: Path) -> None:
    """Write the seed tasks of all languages where the stage reads them."""
    folder.mkdir(parents=True)
    files = {}
    for language in LANGUAGES:
        rows = [
            {"id": f"seed-{number:03d}", "keep": False, **_parts(task)}
            for number, task in enumerate(recorded(language)[:NUM_SEEDS])
        ]
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        (folder / f"{language}.jsonl").write_bytes(content)
        files[f"{language}.jsonl"] = {"sha256": hashlib.sha256(content).hexdigest()}
    declaration = {"name": "seed_tasks", "licence": "CC0-1.0", "files": files}
    (folder / "source.yaml").write_text(yaml.safe_dump(declaration), encoding="utf-8")


def _parts(task: Task) -> dict[str, str]:
    return {"instruction": task.instruction, "input": task.input, "output": task.output}


def language_of(prompt: str) -> str:
    """The language that a prompt asks for."""
    found = _ASKED.search(prompt)
    assert found is not None, prompt
    return _TITLES[found[1]]


def seventeen_tasks(prompt: str, body: Mapping[str, Any]) -> str:
    """Go on in a prompt's list; a task in twelve is spoiled."""
    language, seed = language_of(prompt), int(body["seed"])
    chance = random.Random(seed)
    own = recorded(language)[NUM_SEEDS:]
    labels = load_labels().by_language["eng_Latn" if seed % 3 else language]
    names = [labels.instruction[0], labels.input[0], labels.output[0]]
    parts = []
    for number in range(FIRST_NUMBER, FIRST_NUMBER + TASKS_PER_ANSWER):
        task = chance.choice(own)
        if chance.random() < 1 / 12:
            task = _spoiled(task, language, chance)
        parts += _lines(task, number, names)
    return "".join(parts)


def _lines(task: Task, number: int, names: Sequence[str]) -> list[str]:
    cells = (task.instruction, task.input or NO_INPUT, task.output)
    return [f"{number}. {name}: {cell}\n" for name, cell in zip(names, cells, strict=True)]


def _spoiled(task: Task, language: str, chance: random.Random) -> Task:
    """A task with a link, with an address, without an answer, or answered in another language."""
    other = LANGUAGES[(LANGUAGES.index(language) + 5) % len(LANGUAGES)]
    kinds = (
        Task(task.instruction, task.input, f"{task.output} https://example.org/page"),
        Task(task.instruction, task.input, f"{task.output} {MAILBOX}"),
        Task(task.instruction, task.input, ""),
        Task(task.instruction, task.input, chance.choice(recorded(other)).output),
    )
    return chance.choice(kinds)
