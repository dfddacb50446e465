"""The chat model answers a question set, the judge grades, ratings become scores.

Answers are computed by many processes; the judge is asked by one, which knows what it has cost. Its
words are kept in the stage's `runs/kept/evaluate/judgements.sqlite`, so a run after a crash, or
with another budget, pays for nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from polylm_core.errors import StageError
from polylm_core.stages.base import StageRun
from polylm_core.stages.evaluate.config import EvaluateConfig
from polylm_core.stages.evaluate.intervals import wilson
from polylm_core.stages.evaluate.judging.judge_config import JudgeConfig, OpenAIJudge
from polylm_core.stages.evaluate.judging.questions import JudgePrompt, Question, QuestionSet
from polylm_core.stages.evaluate.model import Generated, chat_prompt, generate, load_model
from polylm_core.stages.evaluate.ratings import mean_rating, parse_rating
from polylm_core.stages.evaluate.tables import ALL_LANGUAGES, Judgement, Score
from polylm_core.teachers.endpoint import EndpointTeacher
from polylm_core.teachers.places import endpoint_of
from polylm_core.teachers.teacher import Answer, Sampling

SUITE = "judge"
UNRATED = "unrated"
"""Reason of an answer whose judgement holds no rating."""


@dataclass(frozen=True)
class Judged:
    """What the judge made of the chat model."""

    scores: Sequence[Score] = ()
    judgements: Sequence[Judgement] = ()
    too_long: int = 0
    """Questions passed over because they do not fit the model's context."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Answers without a rating, by reason."""


@dataclass(frozen=True)
class _Asked:
    """A question with the chat model's answer."""

    language: str
    question: Question
    answer: Generated


def run_judge(
    config: EvaluateConfig,
    judge: JudgeConfig,
    questions: QuestionSet,
    chat: tuple[Path, str, str | None],
    run: StageRun,
) -> Judged:
    """Have all questions answered and graded; raises TeacherError, StageError.

    `chat` is folder, fingerprint and adapter of the model.
    """
    answer = partial(
        _answer,
        chat,
        max_new_tokens=judge.max_new_tokens,
        repetition_penalty=config.repetition_penalty,
    )
    asked: list[_Asked] = []
    too_long = 0
    with run.progress.track("questions", len(questions.questions), "languages") as tracker:
        for rows, passed_over in run.backend.map(answer, list(questions.questions.items())):
            asked += rows
            too_long += passed_over
            tracker.advance(note=rows[0].language)
    judgements = _graded(judge.grader, questions, asked, run)
    failed = [row for row in judgements if row.failure]
    for row in failed:
        run.progress.say(f"judge: {row.language} question {row.question_id}: {row.failure}")
    scores = score_judgements(judgements, samples=config.bootstrap_samples, seed=run.seed)
    return Judged(scores, judgements, too_long, dict(Counter(row.failure for row in failed)))


def _answer(
    chat: tuple[Path, str, str | None],
    unit: tuple[str, Sequence[Question]],
    *,
    max_new_tokens: int,
    repetition_penalty: float,
) -> tuple[list[_Asked], int]:
    """Answer the questions of a language that fit; with the number of those that do not."""
    language, questions = unit
    loaded = load_model(*chat)
    room = loaded.context_tokens - max_new_tokens
    prompts = [
        (question, chat_prompt(loaded, [{"role": "user", "content": question.turns[0]}]))
        for question in questions
    ]
    fitting = [(question, ids) for question, ids in prompts if len(ids) <= room]
    if not fitting:
        raise StageError(
            f"no question of {language} fits the context of {loaded.context_tokens} tokens; lower "
            f"evaluate.judge.max_new_tokens ({max_new_tokens})"
        )
    answers = generate(
        loaded,
        [ids for _, ids in fitting],
        max_new_tokens=max_new_tokens,
        repetition_penalty=repetition_penalty,
    )
    rows = [
        _Asked(language, question, answer)
        for (question, _), answer in zip(fitting, answers, strict=True)
    ]
    return rows, len(prompts) - len(rows)


def _graded(
    grader: OpenAIJudge, questions: QuestionSet, asked: Sequence[_Asked], run: StageRun
) -> list[Judgement]:
    """Ask the judge of every answer, and say what it cost."""
    with (
        run.progress.track("judge", len(asked), "answers") as tracker,
        EndpointTeacher(
            grader,
            endpoint_of(grader, run.endpoints),
            run.kept / "judgements.sqlite",
            num_prompts=len(asked),
            on_answer=lambda usage: tracker.advance(note=usage.describe(grader.prices)),
        ) as judge,
    ):
        sampling = Sampling(grader.max_new_tokens, temperature=0.0, top_k=1)
        said = [
            answered
            for prompt in questions.prompts.values()  # each has a system prompt of its own
            for answered in _said(judge, sampling, prompt, questions, asked)
        ]
        spent, doubt = judge.spent, judge.doubt
    run.progress.say(f"judge: {spent.answers:,} answers, {spent.describe(grader.prices)}{doubt}")
    said.sort(key=lambda row: row[0])
    return [_judgement(questions, asked[number], answer) for number, answer in said]


def _said(
    judge: EndpointTeacher,
    sampling: Sampling,
    prompt: JudgePrompt,
    questions: QuestionSet,
    asked: Sequence[_Asked],
) -> list[tuple[int, Answer]]:
    """What the judge says to all answers that are graded by this prompt, by their place."""
    mine = [n for n, row in enumerate(asked) if questions.prompt_of(row.question) == prompt]
    messages = [
        prompt.fill(
            asked[n].question.turns[0],
            asked[n].answer.text,
            questions.references.get(asked[n].question.question_id, ""),
        )
        for n in mine
    ]
    answers = judge.ask(messages, sampling, seed=0, system=prompt.system_prompt)
    return list(zip(mine, answers, strict=True))


def _judgement(questions: QuestionSet, asked: _Asked, said: Answer) -> Judgement:
    rating = None if said.failure else parse_rating(said.text)
    question = asked.question
    return Judgement(
        language=asked.language,
        question_id=question.question_id,
        category=question.category,
        question=question.turns[0],
        answer=asked.answer.text,
        answer_tokens=asked.answer.tokens,
        stopped=asked.answer.stopped,
        prompt=questions.prompt_of(question).name,
        judgement=said.text,
        rating=rating,
        failure=said.failure or (UNRATED if rating is None else ""),
    )


def score_judgements(rows: Sequence[Judgement], *, samples: int, seed: int) -> list[Score]:
    """Mean ratings by language and category, and the share of answers without a rating.

    Unrated answers are in that share alone, as in FastChat's means.
    """
    scores: list[Score] = []
    languages = dict.fromkeys(row.language for row in rows)
    for language in (ALL_LANGUAGES, *languages):
        own = [row for row in rows if language in (ALL_LANGUAGES, row.language)]
        groups = {"rating": own} | {
            f"rating_{category}": [row for row in own if row.category == category]
            for category in sorted({row.category for row in own})
        }
        for metric, members in groups.items():
            ratings = [row.rating for row in members if row.rating is not None]
            if ratings:  # a category that has none is told by the share below
                value, low, high = mean_rating(
                    ratings, samples=samples, seed=(seed, SUITE, language, metric)
                )
                scores.append(
                    Score("chat", SUITE, metric, language, value, low, high, len(ratings), None)
                )
        unrated = sum(row.rating is None for row in own)
        low, high = wilson(unrated, len(own))
        share = unrated / len(own)
        scores.append(
            Score("chat", SUITE, "unrated_share", language, share, low, high, len(own), None)
        )
    return scores
