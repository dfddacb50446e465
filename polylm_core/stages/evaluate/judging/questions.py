"""The files of a question set in FastChat's form: questions, judge prompts, reference answers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, Field, ValidationError

from polylm_core.errors import SourceError
from polylm_core.stages.evaluate.judging.judge_config import JudgeConfig, QuestionFile

LOCATION = "judge"
"""Name of the folder in the profile's `benchmark_locations`."""
FETCH = (
    "curl -LO https://raw.githubusercontent.com/lm-sys/FastChat/main/fastchat/llm_judge/data/"
    "{judge_prompts.jsonl,vicuna_bench/question.jsonl,vicuna_bench/reference_answer/gpt-4.jsonl}"
)
PLAIN, WITH_REFERENCE = "single-v1", "single-math-v1"
"""Names of the two prompts in `judge_prompts.jsonl`."""
_FIELD = re.compile(r"\{(?:question|answer|ref_answer_1)\}")


class Question(BaseModel):
    """A question of one turn or more; the first is asked."""

    question_id: int
    category: str = Field(min_length=1)
    turns: list[str] = Field(min_length=1)


class JudgePrompt(BaseModel):
    """What the judge is told, with {question}, {answer} and perhaps {ref_answer_1}."""

    name: str
    system_prompt: str
    prompt_template: str

    def fill(self, question: str, answer: str, reference: str) -> str:
        """The user's message; texts may hold braces of their own."""
        parts = {"{question}": question, "{answer}": answer, "{ref_answer_1}": reference}
        return _FIELD.sub(lambda found: parts[found[0]], self.prompt_template)


class _Choice(BaseModel):
    turns: list[str] = Field(min_length=1)


class _Reference(BaseModel):
    question_id: int
    choices: list[_Choice] = Field(min_length=1)


@dataclass(frozen=True)
class QuestionSet:
    """What is asked, and how it is graded."""

    questions: Mapping[str, tuple[Question, ...]]
    """By FLORES-200 code."""
    prompts: Mapping[str, JudgePrompt]
    """By name."""
    references: Mapping[int, str]
    """Reference answer by question; empty without them."""

    def prompt_of(self, question: Question) -> JudgePrompt:
        """The judge's prompt for a question."""
        has_reference = question.question_id in self.references
        return self.prompts[WITH_REFERENCE if has_reference else PLAIN]


def read_questions(config: JudgeConfig, locations: Mapping[str, str]) -> QuestionSet:
    """Read and verify all files; raises SourceError that names every one that is not as pinned."""
    if LOCATION not in locations:
        raise SourceError(
            "the profile does not say where the judge's questions lie; fetch them with "
            f"`{FETCH}` and name their folder in `benchmark_locations.{LOCATION}`"
        )
    folder = Path(locations[LOCATION]).expanduser()
    _require_pinned(config, folder)
    prompts = _read(folder, config.prompts, JudgePrompt)
    lacking = sorted({PLAIN, WITH_REFERENCE} - {prompt.name for prompt in prompts})
    if lacking:
        raise SourceError(f"{folder / config.prompts.file}: has no prompt {', '.join(lacking)}")
    answers = _read(folder, config.references, _Reference) if config.references else []
    return QuestionSet(
        {code: tuple(_read(folder, file, Question)) for code, file in config.questions.items()},
        {prompt.name: prompt for prompt in prompts},
        {row.question_id: row.choices[0].turns[0] for row in answers},
    )


def _require_pinned(config: JudgeConfig, folder: Path) -> None:
    files = [*config.questions.values(), config.prompts]
    files += [config.references] if config.references else []
    problems = []
    for file in files:
        path = folder / file.file
        if not path.is_file():
            problems.append(f"{path} is not there; fetch FastChat's files with `{FETCH}`")
        elif (seen := hashlib.sha256(path.read_bytes()).hexdigest()) != file.sha256:
            problems.append(f"{path}: sha256 is {seen}, params say {file.sha256}")
    if problems:
        raise SourceError("the judge's files are not as declared:\n  " + "\n  ".join(problems))


_Row = TypeVar("_Row", bound=BaseModel)


def _read(folder: Path, file: QuestionFile, kind: type[_Row]) -> list[_Row]:
    path = folder / file.file
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            rows += [kind.model_validate_json(line)] if line.strip() else []
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise SourceError(
                f"{path}, line {number}: {place} {first['msg']}; it has to be FastChat's form of "
                f"{kind.__name__.strip('_').lower()}s"
            ) from error
    if not rows:
        raise SourceError(f"{path}: is empty; fetch it again with `{FETCH}`")
    return rows
