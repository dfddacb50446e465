"""MultiAlpaca's published form, end to end: 11 languages, 10 rounds of 100 prompts, 17 tasks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polylm_core.artifacts import InstructionSet
from polylm_core.compute.local import LocalBackend
from polylm_core.records import Instruction, read_instructions
from polylm_core.stages.instruct.self_instruct import ORIGIN
from tests.openai_server import KEY, Books, serve_openai
from tests.published_form import KEY_VARIABLE, make_config, run_stage
from tests.recorded_tasks import LANGUAGES, MAILBOX, TASKS_PER_ANSWER, seventeen_tasks

PUBLISHED_ROUNDS, PUBLISHED_PROMPTS = 10, 100
UNREACHABLE = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


def funnel_of(made: InstructionSet) -> Counter[tuple[str, int, str]]:
    """What became of the teacher's tasks, by language, round and reason."""
    rows = pq.read_table(made.path / "funnel.parquet").to_pylist()
    return Counter(
        {
            (row["language"], row["round"], row["reason"]): row["count"]
            for row in rows
            if row["origin"] == ORIGIN
        }
    )


def written(made: InstructionSet) -> list[Instruction]:
    rows = read_instructions(made.path / "train.parquet")
    return [row for row in rows if row.origin == ORIGIN]


def check(made: InstructionSet, books: Books, rounds: int, prompts: int) -> None:
    """Every task that was sent is in the funnel, and the pool of every language grows."""
    asked = len(LANGUAGES) * rounds * prompts
    assert len(books.charged) == sum(books.tries.values()) == asked
    funnel = funnel_of(made)
    assert funnel.total() == asked * TASKS_PER_ANSWER
    for language in LANGUAGES:
        of_rounds = [
            {reason: count for (code, at, reason), count in funnel.items() if (code, at) == found}
            for found in ((language, number) for number in range(1, rounds + 1))
        ]
        assert [sum(each.values()) for each in of_rounds] == [prompts * TASKS_PER_ANSWER] * rounds
        assert all(each["kept"] > 0 for each in of_rounds), "the pool of a language stands still"
        if prompts == PUBLISHED_PROMPTS:
            assert of_rounds[-1]["not-novel"] > 2 * of_rounds[0]["not-novel"]
            assert {"incomplete", "link", "other-language"} <= set().union(*of_rounds)
    rows = written(made)
    kept = sum(count for (_, _, reason), count in funnel.items() if reason == "kept")
    assert len(rows) == kept == len({row.id for row in rows})
    assert {row.language for row in rows} == set(LANGUAGES)
    questions = Counter((row.language, row.messages[0].content) for row in rows)
    assert max(questions.values()) == 1, "an instruction was taken twice"
    texts = "\n".join(message.content for row in rows for message in row.messages)
    assert MAILBOX not in texts
    assert "<EMAIL>" in texts


def run_and_repeat(folder: Path, rounds: int, prompts: int) -> None:
    config = make_config(rounds, prompts)
    with serve_openai(answer=seventeen_tasks) as books:
        first = run_stage(folder, books.url, config, name="first", concurrent=16)
        check(first, books, rounds, prompts)
    # What was stored answers everything, whoever computes and in whatever number.
    with LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1) as backend:
        again = run_stage(folder, UNREACHABLE, config, name="again", concurrent=1, backend=backend)
    assert again.fingerprint == first.fingerprint
    assert again.manifest.files == first.manifest.files


def test_the_published_form_on_a_small_scale(tmp_path: Path) -> None:
    run_and_repeat(tmp_path, rounds=3, prompts=6)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_published_form_runs_end_to_end_and_again_from_its_answers(tmp_path: Path) -> None:
    run_and_repeat(tmp_path, rounds=PUBLISHED_ROUNDS, prompts=PUBLISHED_PROMPTS)
