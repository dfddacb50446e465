"""The section `evaluate.judge`: who grades which questions.

The protocol is MT-bench's single-answer grading (Zheng et al. 2023, arXiv 2306.05685), which TaCo
(arXiv 2311.10797) takes for the 80 Vicuna questions in other languages.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from polylm_core.languages import LanguageCode
from polylm_core.pinned_files import FileName, Sha256
from polylm_core.stages.base import StageConfig
from polylm_core.teachers.config import OpenAITeacher


class OpenAIJudge(OpenAITeacher):
    """Any endpoint that speaks OpenAI's protocol. Each judgement is stored and paid for once."""

    role: ClassVar[str] = "judge"

    form: Literal["chat"] = "chat"
    """The template's system prompt and a user's message."""
    max_failed_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the answers that may stay without a judgement; they are named and left out of the
    means."""
    license: str = ""
    """Terms of what it writes; nothing is trained on it."""
    max_new_tokens: int = Field(default=2048, gt=0)
    """Length limit of a judgement, FastChat's by default; it is asked with temperature 0."""


class QuestionFile(StageConfig):
    """A file of the question set's folder, pinned by its content."""

    file: FileName
    sha256: Sha256


class JudgeConfig(StageConfig):
    """A question set answered by the chat model and graded from 1 to 10 by another model."""

    grader: OpenAIJudge
    """Who grades: `gpt-4` in MT-bench and TaCo."""
    questions: dict[LanguageCode, QuestionFile] = Field(min_length=1)
    """FastChat's `question.jsonl` (question_id, category, turns) by language, in the folder that
    the profile names as `benchmark_locations.judge`."""
    prompts: QuestionFile
    """FastChat's `judge_prompts.jsonl`, in the same folder; `single-v1` is asked, as published."""
    references: QuestionFile | None = None
    """FastChat's reference answers. With them, questions that have one are graded beside it by
    `single-math-v1` (MT-bench's way with math, reasoning and coding). TaCo's judgements mention
    none."""
    max_new_tokens: int = Field(gt=0)
    """Length limit of the chat model's answer."""
