"""The `instruct` stage with a teacher behind an endpoint: faults, kills, budgets, and the key."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polylm_core.artifacts import InstructionSet
from polylm_core.errors import TeacherError
from polylm_core.progress import NullProgress
from polylm_core.records import Instruction, read_instructions
from polylm_core.stages.instruct.answers import parse_answer
from polylm_core.stages.instruct.prompts import OPENING
from polylm_core.stages.instruct.self_instruct import ORIGIN
from tests.architecture.closure import ROOT
from tests.openai_server import FAULTS, KEY, Books, prompt_of, serve_openai
from tests.teacher_job import KEY_VARIABLE, NUM_PROMPTS, make_config, run_stage, two_tasks

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def books() -> Iterator[Books]:
    with serve_openai(answer=two_tasks) as served:
        yield served


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> InstructionSet:
    with pytest.MonkeyPatch.context() as patched, serve_openai(answer=two_tasks) as served:
        patched.setenv(KEY_VARIABLE, KEY)
        return run_stage(tmp_path_factory.mktemp("undisturbed"), served.url, make_config())


def start(folder: Path, books: Books, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.teacher_job", str(folder), books.url, *more]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def stored_tokens(folder: Path) -> tuple[int, int]:
    """Prompt and answer tokens of all stored answers."""
    rows = sqlite3.connect(folder / "kept/answers.sqlite")
    sums = "sum(answer ->> 'prompt_tokens'), sum(answer ->> 'answer_tokens')"
    prompts, answers = rows.execute(f"SELECT {sums} FROM answers").fetchone()
    rows.close()
    return int(prompts), int(answers)


def written(made: InstructionSet) -> list[Instruction]:
    rows = read_instructions(made.path / "train.parquet")
    return [row for row in rows if row.origin == ORIGIN]


def tasks_by_fate(made: InstructionSet) -> Counter[str]:
    fates: Counter[str] = Counter()
    for row in pq.read_table(made.path / "funnel.parquet").to_pylist():
        if row["origin"] == ORIGIN:
            fates[row["reason"]] += row["count"]
    return fates


def tasks_sent(books: Books) -> int:
    """Tasks in the answers that the server computed."""
    sent = 0
    for body in books.bodies.values():
        text = two_tasks(prompt_of(body), body)
        whole = text if text.startswith(OPENING) else OPENING + text
        sent += len(parse_answer(whole, is_complete=True, ends_at_blank_line=False)[0])
    return sent


def test_the_set_without_a_fault_has_tasks_in_both_languages(undisturbed: InstructionSet) -> None:
    rows = written(undisturbed)
    assert {row.language for row in rows} == {"eng_Latn", "deu_Latn"}
    assert len(rows) >= 8
    assert {row.license for row in rows} == {"CC0-1.0"}


@pytest.mark.parametrize("seed", [4, 5])
def test_with_a_fifth_of_the_answers_failing_no_task_is_lost_or_doubled(
    tmp_path: Path, books: Books, undisturbed: InstructionSet, seed: int
) -> None:
    books.fault_share, books.seed = 0.2, seed
    made = run_stage(tmp_path, books.url, make_config(), concurrent=8)
    assert {fault for fault, count in books.faults.items() if count} == set(FAULTS)
    assert made.fingerprint == undisturbed.fingerprint
    assert sum(tasks_by_fate(made).values()) == tasks_sent(books) == 2 * NUM_PROMPTS
    assert len(books.charged) == NUM_PROMPTS
    assert stored_tokens(tmp_path) == books.tokens
    assert set(books.sent) == set(books.charged)


def test_the_order_of_arrival_changes_nothing(
    tmp_path: Path, books: Books, undisturbed: InstructionSet
) -> None:
    books.slow_seconds = lambda key: int(key[:2], 16) / 4_000
    assert run_stage(tmp_path, books.url, make_config()).fingerprint == undisturbed.fingerprint


def test_recorded_answers_make_the_same_set_without_a_request(tmp_path: Path, books: Books) -> None:
    first = run_stage(tmp_path, books.url, make_config())
    tries = sum(books.tries.values())
    again = run_stage(tmp_path, "http://127.0.0.1:9/v1", make_config(), name="again")
    assert again.fingerprint == first.fingerprint
    assert sum(books.tries.values()) == tries == NUM_PROMPTS


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(5, marks=pytest.mark.slow),
        21,
        pytest.param(40, marks=pytest.mark.slow),
    ],
)
def test_a_killed_stage_and_its_rerun_pay_for_nothing_twice(
    tmp_path: Path, books: Books, undisturbed: InstructionSet, after: int
) -> None:
    books.fault_share = 0.2
    books.slow_seconds = lambda key: 0.03
    process = start(tmp_path, books)
    deadline = time.monotonic() + 120
    while sum(books.sent.values()) < after:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "set").exists()
    before = dict(books.charged)
    stored = rows_of(tmp_path)
    assert len(stored) >= after - 4, "what arrived is lost"
    tries = dict(books.tries)
    again = start(tmp_path, books)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    made = InstructionSet.load(tmp_path / "set")
    assert made.fingerprint == undisturbed.fingerprint
    assert {key: books.tries[key] for key in stored} == {key: tries[key] for key in stored}
    assert before.items() <= books.charged.items()
    assert len(books.charged) == NUM_PROMPTS
    assert stored_tokens(tmp_path) == books.tokens


def rows_of(folder: Path) -> list[str]:
    """Keys of the stored requests."""
    rows = sqlite3.connect(folder / "kept/answers.sqlite")
    keys = [key for (key,) in rows.execute("SELECT request_sha256 FROM answers")]
    rows.close()
    return keys


class Watcher(NullProgress):
    """Remembers what people would see."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.notes: list[tuple[int, str]] = []
        self.said: list[str] = []

    @contextmanager
    def track(self, unit: str, total: int, noun: str = "items") -> Iterator[Watcher]:
        self.totals[f"{unit}, {noun}"] = total
        yield self

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.notes += [(amount, note)] if note else []

    def say(self, message: str) -> None:
        self.said.append(message)


def test_people_see_answers_tokens_and_money(tmp_path: Path, books: Books) -> None:
    watcher = Watcher()
    run_stage(tmp_path, books.url, make_config(), progress=watcher)
    assert watcher.totals["self-instruct, answers"] == NUM_PROMPTS
    assert sum(amount for amount, _ in watcher.notes) == NUM_PROMPTS
    prompts, answers = books.tokens
    cost = (500 * prompts + 1500 * answers) / 1e6
    shown = f"{prompts + answers:,} tokens, {cost:.4f} spent"
    assert watcher.notes[-1] == (1, shown)
    assert watcher.said == [f"self-instruct: {NUM_PROMPTS} answers, {shown}"]


def test_a_spent_budget_stops_the_stage_and_a_larger_one_ends_it(
    tmp_path: Path, books: Books, undisturbed: InstructionSet
) -> None:
    with pytest.raises(TeacherError, match=r"budget of 4,000 tokens.*48 prompts.*Raise"):
        run_stage(tmp_path, books.url, make_config(4_000))
    assert 0 < len(books.charged) < NUM_PROMPTS
    assert stored_tokens(tmp_path) == books.tokens
    assert sum(books.tokens) <= 4_000
    assert not (tmp_path / "set").exists()
    made = run_stage(tmp_path, books.url, make_config())
    assert written(made) == written(undisturbed)
    assert max(books.tries.values()) == 1, "a raised budget paid again"


@pytest.mark.parametrize("trouble", ["none", "wrong-key", "unknown-model", "out-of-order"])
def test_the_key_is_in_nothing_that_is_written(tmp_path: Path, books: Books, trouble: str) -> None:
    secret = f"{KEY}-but-wrong" if trouble == "wrong-key" else KEY
    os.environ[KEY_VARIABLE] = secret  # put back by the fixture's monkeypatch
    if trouble == "unknown-model":
        books.always["tasks"] = (404, {"error": {"message": f"not with {KEY}"}})
    elif trouble == "out-of-order":
        books.always["tasks"] = (500, {"error": {"message": f"{KEY} is broken"}})
    process = start(tmp_path, books)
    output, _ = process.communicate(timeout=120)
    assert (process.returncode == 0) == (trouble == "none"), output
    assert ("Traceback" in output) == (trouble != "none")
    assert secret not in output
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.name == "answers.sqlite" for file in files)
    assert [file for file in files if secret.encode() in file.read_bytes()] == []
