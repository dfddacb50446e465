"""The `instruct` stage with a translator behind an endpoint: faults and kills pay nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from polylm_core.artifacts import InstructionSet
from polylm_core.records import read_instructions
from tests.architecture.closure import ROOT
from tests.openai_server import KEY, Books, prompt_of, serve_openai
from tests.teacher_job import (
    KEY_VARIABLE,
    NUM_PROMPTS,
    make_config,
    run_stage,
    translate_or_write,
    translating,
)

pytestmark = pytest.mark.timeout(300)
NUM_TRANSLATIONS = 4 + 4
"""Two questions and two answers into Chinese, and all of them back."""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def books() -> Iterator[Books]:
    with serve_openai(answer=translate_or_write) as served:
        yield served


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> InstructionSet:
    with pytest.MonkeyPatch.context() as patched, serve_openai(answer=translate_or_write) as served:
        patched.setenv(KEY_VARIABLE, KEY)
        folder = tmp_path_factory.mktemp("undisturbed")
        return run_stage(folder, served.url, translating(make_config()))


def test_translated_seeds_are_in_the_set_with_what_they_may_be_used_for(
    undisturbed: InstructionSet,
) -> None:
    rows = [
        row
        for row in read_instructions(undisturbed.path / "train.parquet")
        if row.id.startswith("taco/seed_tasks/zho_Hans/")
    ]
    assert [row.messages[1].content for row in rows] == [
        "译：Name two colours.",
        "译：Where is Rome?",
    ]
    assert {row.license for row in rows} == {"Apache-2.0 AND CC0-1.0"}
    (quality,) = json.loads((undisturbed.path / "translation_quality.json").read_text())
    assert (quality["samples"], quality["refused"]) == (4, 0)
    assert 0 < quality["chrf_plus_plus"] < 100


def test_with_a_fifth_of_the_answers_failing_the_set_is_the_same(
    tmp_path: Path, books: Books, undisturbed: InstructionSet
) -> None:
    books.fault_share = 0.2
    made = run_stage(tmp_path, books.url, translating(make_config()), concurrent=8)
    assert sum(books.faults.values()) > 0
    assert made.fingerprint == undisturbed.fingerprint
    assert len(books.charged) == NUM_PROMPTS + NUM_TRANSLATIONS


def start(folder: Path, books: Books) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.teacher_job", str(folder), books.url, "translating"]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_stage_killed_while_it_translates_pays_for_nothing_twice(
    tmp_path: Path, books: Books, undisturbed: InstructionSet
) -> None:
    books.slow_seconds = lambda key: int(key[:2], 16) / 256
    process = start(tmp_path, books)
    deadline = time.monotonic() + 120
    while sum(books.sent.values()) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert all(prompt_of(body).startswith("Translate") for body in books.bodies.values())
    tries = dict(books.tries)
    books.slow_seconds = lambda key: 0.0
    again = start(tmp_path, books)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert InstructionSet.load(tmp_path / "set").fingerprint == undisturbed.fingerprint
    assert len(books.charged) == NUM_PROMPTS + NUM_TRANSLATIONS
    asked_again = [key for key, count in tries.items() if books.tries[key] > count]
    assert len(asked_again) <= 4, "no more than what was under way"
    assert len([key for key in tries if key not in asked_again]) >= 2
