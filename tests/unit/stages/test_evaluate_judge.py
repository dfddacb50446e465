"""A judge behind an endpoint grades what a tiny chat model answers, in FastChat's form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from polylm_core.errors import SourceError, TeacherError
from polylm_core.stages.base import StageRun
from polylm_core.stages.evaluate.config import EvaluateConfig
from polylm_core.stages.evaluate.judging.judge_config import JudgeConfig
from polylm_core.stages.evaluate.judging.questions import read_questions
from polylm_core.stages.evaluate.judging.suite import Judged, run_judge
from polylm_core.stages.evaluate.ratings import parse_rating
from polylm_core.stages.evaluate.stage import evaluate
from tests.openai_server import KEY, MODEL, Books, serve_openai
from tests.support import make_run
from tests.unit.stages.evaluate_inputs import LANGUAGES, TEMPLATE, make_inputs, write_model
from tests.unit.stages.test_evaluate import CONFIG
from tests.unit.teachers.asking import KEY_VARIABLE, make_endpoint

SHARED = Path(__file__).parents[4] / "shared" / "data" / "vicuna"
QUESTIONS = {
    "eng_Latn": [
        ("generic", "Say {answer} and {question}."),
        ("math", "How many cells?"),
        ("math", "Press which key? " * 200),  # no context of 160 tokens holds it
    ],
    "deu_Latn": [("generic", "Welche Seite?"), ("writing", "Drücken Sie die Taste.")],
}
PROMPTS = [
    ("pair-v2", "You compare.", "{question} {answer_a} {answer_b}"),
    ("single-v1", "You help.", "Rate it.\n[Q]\n{question}\n[A]\n{answer}\n[End]"),
    (
        "single-math-v1",
        "You check.",
        "Rate it.\n[Q]\n{question}\n[R]\n{ref_answer_1}\n[A]\n{answer}",
    ),
]


def rated(prompt: str, body: dict[str, Any]) -> str:
    """A judgement in the words that the published prompt asks for."""
    if "Taste" in prompt:
        return "I would rather not say."
    return f"Short. Rating: [[{9.5 if '[R]' in prompt else 3}]]"


def write_lines(folder: Path, name: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Write JSON lines; returns what params say of the file."""
    folder.mkdir(exist_ok=True, parents=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / name).write_text(text, encoding="utf-8")
    return {"file": name, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def make_judge(folder: Path, *, references: bool = False, **grader: Any) -> JudgeConfig:
    """Write a question set of five questions and declare it."""
    files = {
        code: write_lines(folder, f"question.{code}.jsonl", [
            {"question_id": n, "category": category, "turns": [text]}
            for n, (category, text) in enumerate(rows, start=1)
        ])
        for code, rows in QUESTIONS.items()
    }  # fmt: skip
    prompts = [
        {"name": name, "type": "single", "system_prompt": system, "prompt_template": template}
        for name, system, template in PROMPTS
    ]
    answers = [{"question_id": 2, "choices": [{"index": 0, "turns": ["Six {answer}."]}]}]
    return JudgeConfig.model_validate(
        {
            "grader": {
                "kind": "openai", "endpoint": "judge", "model": MODEL, "max_new_tokens": 30,
                "budget": {"max_tokens": 100_000}, **grader,
            },
            "questions": files,
            "prompts": write_lines(folder, "judge_prompts.jsonl", prompts),
            "references": write_lines(folder, "gpt-4.jsonl", answers) if references else None,
            "max_new_tokens": 8,
        }
    )  # fmt: skip


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> Iterator[Books]:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with serve_openai(answer=rated) as served:
        yield served


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str | None]:
    folder = tmp_path_factory.mktemp("chat")
    write_model(folder, chat_template=TEMPLATE)
    return folder, "of the judge's tests", None


def graded(
    judge: JudgeConfig, chat: tuple[Path, str, str | None], books: Books, folder: Path
) -> Judged:
    run = run_of(folder, books)
    questions = read_questions(judge, run.benchmark_locations)
    return run_judge(CONFIG, judge, questions, chat, run)


def run_of(folder: Path, books: Books) -> StageRun:
    return replace(
        make_run(folder, languages=LANGUAGES),
        endpoints={"judge": make_endpoint(books.url)},
        benchmark_locations={"judge": str(folder / "set")},
    )


def test_ratings_become_scores_by_language_and_category(
    chat: tuple[Path, str, str | None], books: Books, tmp_path: Path
) -> None:
    judge = make_judge(tmp_path / "set", references=True)
    judged = graded(judge, chat, books, tmp_path)
    values = {(s.metric, s.language): (s.value, s.items) for s in judged.scores}
    assert values["rating", "eng_Latn"] == (6.25, 2)
    assert values["rating_math", "eng_Latn"] == (9.5, 1)
    assert values["rating", "deu_Latn"] == (3.0, 1)
    assert values["rating", ""] == (pytest.approx(15.5 / 3), 3)
    assert values["unrated_share", "deu_Latn"] == (0.5, 2)
    assert ("rating_writing", "deu_Latn") not in values
    assert judged.failures == {"unrated": 1}
    assert judged.too_long == 1
    (unrated,) = (row for row in judged.judgements if row.rating is None)
    assert (unrated.category, unrated.judgement) == ("writing", "I would rather not say.")


def test_the_prompts_are_sent_as_published(
    chat: tuple[Path, str, str | None], books: Books, tmp_path: Path
) -> None:
    judge = make_judge(tmp_path / "set", references=True)
    judged = graded(judge, chat, books, tmp_path)
    sent = [body["messages"] for body in books.bodies.values()]
    answer = {row.question: row.answer for row in judged.judgements}
    braces = "Say {answer} and {question}."
    plain = f"Rate it.\n[Q]\n{braces}\n[A]\n{answer[braces]}\n[End]"
    assert [
        {"role": "system", "content": "You help."}, {"role": "user", "content": plain},
    ] in sent  # fmt: skip
    beside = (
        f"Rate it.\n[Q]\nHow many cells?\n[R]\nSix {{answer}}.\n[A]\n{answer['How many cells?']}"
    )
    assert [
        {"role": "system", "content": "You check."}, {"role": "user", "content": beside},
    ] in sent  # fmt: skip
    assert {body["temperature"] for body in books.bodies.values()} == {0.0}


def test_a_run_after_one_that_broke_off_pays_for_nothing_twice(
    chat: tuple[Path, str, str | None], books: Books, tmp_path: Path
) -> None:
    books.always["Taste"] = (402, {"error": {"message": "top up"}})
    with pytest.raises(TeacherError, match="no credit left"):
        graded(make_judge(tmp_path / "set"), chat, books, tmp_path)
    paid = set(books.charged)
    assert 0 < len(paid) < 4
    books.always.clear()
    judged = graded(make_judge(tmp_path / "set"), chat, books, tmp_path)
    assert {books.tries[key] for key in paid} == {1}
    assert len(books.charged) == 4
    again = graded(make_judge(tmp_path / "set"), chat, books, tmp_path)
    assert again == judged
    assert sum(books.sent.values()) == 4


def test_an_answer_the_judge_refuses_is_an_error_unless_a_share_is_allowed(
    chat: tuple[Path, str, str | None], books: Books, tmp_path: Path
) -> None:
    books.always["Welche"] = (400, {"error": {"message": "no", "code": "content_filter"}})
    with pytest.raises(TeacherError, match=r"judge.max_failed_share"):
        graded(make_judge(tmp_path / "a/set"), chat, books, tmp_path / "a")
    judge = make_judge(tmp_path / "b/set", max_failed_share=0.3)
    judged = graded(judge, chat, books, tmp_path / "b")
    assert judged.failures == {"teacher-refused": 1, "unrated": 1}


def test_files_that_are_not_as_pinned_are_all_named(tmp_path: Path) -> None:
    judge = make_judge(tmp_path)
    (tmp_path / "judge_prompts.jsonl").write_text("changed")
    (tmp_path / "question.deu_Latn.jsonl").unlink()
    with pytest.raises(SourceError) as caught:
        read_questions(judge, {"judge": str(tmp_path)})
    assert "question.deu_Latn.jsonl is not there; fetch" in str(caught.value)
    assert "judge_prompts.jsonl: sha256 is" in str(caught.value)
    with pytest.raises(SourceError, match=r"`benchmark_locations\.judge`"):
        read_questions(judge, {})


def test_the_stage_writes_scores_and_every_judgement(books: Books, tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path / "inputs")
    config = EvaluateConfig.model_validate(
        CONFIG.model_dump() | {"judge": make_judge(tmp_path / "set").model_dump()}
    )
    scores = evaluate(
        config, inputs.base, inputs.chat, inputs.shards, inputs.tokens, inputs.instructions,
        run_of(tmp_path, books),
    )  # fmt: skip
    rows = pq.read_table(scores.path / "scores.parquet").to_pylist()
    assert {row["language"] for row in rows if row["suite"] == "judge"} == {"", *QUESTIONS}
    judgements = pq.read_table(scores.path / "predictions/judgements.parquet").to_pylist()
    assert [row["rating"] for row in judgements] == [3.0, 3.0, 3.0, None]
    assert scores.counts["unrated"] == {"unrated": 1}
    assert scores.counts["too_long"]["judge"] == 1


@pytest.mark.parametrize(
    ("words", "rating"),
    [
        ("Rating: [[7]]", 7.0),
        ('"[[9.2]]"', 9.2),
        ("Rating: [6]", 6.0),
        ("[[3]] and later [[5]]", 3.0),
        ("Rating: 8", None),
        ("[[0]]", None),
        ("[[11]]", None),
    ],
)
def test_a_rating_is_read_as_fastchat_reads_it(words: str, rating: float | None) -> None:
    assert parse_rating(words) == rating


@pytest.mark.skipif(not SHARED.is_dir(), reason="the Vicuna questions do not lie in ../shared/data")
def test_the_published_vicuna_files_are_read(tmp_path: Path) -> None:
    def pinned(name: str) -> dict[str, str]:
        content = (SHARED / name).read_bytes()
        return {"file": name, "sha256": hashlib.sha256(content).hexdigest()}

    judge = JudgeConfig.model_validate(
        make_judge(tmp_path).model_dump()
        | {
            "questions": {"eng_Latn": pinned("question.en.jsonl")},
            "prompts": pinned("judge_prompts.jsonl"),
            "references": pinned("reference_gpt4.en.jsonl"),
        }
    )
    found = read_questions(judge, {"judge": str(SHARED)})
    questions = found.questions["eng_Latn"]
    assert len(questions) == 80
    with_reference = {q.category for q in questions if found.prompt_of(q).name == "single-math-v1"}
    assert with_reference == {"coding", "math"}
    prompt = found.prompt_of(questions[0]).fill(questions[0].turns[0], "Plan.", "")
    assert prompt.endswith(
        "[Question]\nHow can I improve my time management skills?\n\n"
        "[The Start of Assistant's Answer]\nPlan.\n[The End of Assistant's Answer]"
    )
