"""The store of answers: found by the whole request, whole after any kill, never changed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from polylm_core.errors import CorruptArtifactError, MachineError
from polylm_core.teachers.answer_store import AnswerStore, Request
from polylm_core.teachers.teacher import Answer, Usage

REQUEST = Request("teacher", "/completions", {"prompt": "Ω", "seed": 1}, 1, Usage(1, 9, 9))
ANSWER = Answer("réponse", True, 3, 2)
WRITER = """
import sys
from pathlib import Path
from polylm_core.teachers.answer_store import AnswerStore, Request
from polylm_core.teachers.teacher import Answer, Usage
store = AnswerStore(Path(sys.argv[1]))
for number in range(1_000_000):
    request = Request("teacher", "/completions", {"prompt": "x" * 5_000}, number, Usage())
    store.add(request, Answer("y" * 5_000, True, 1, number))
    print(number, flush=True)
"""


def test_an_answer_is_found_by_the_whole_request(tmp_path: Path) -> None:
    with AnswerStore(tmp_path / "new/answers") as store:
        store.add(REQUEST, ANSWER)
    with AnswerStore(tmp_path / "new/answers") as store:
        assert store.get(REQUEST) == ANSWER
        others = [
            replace(REQUEST, endpoint="other"),
            replace(REQUEST, path="/chat/completions"),
            replace(REQUEST, body={"prompt": "Ω", "seed": 1, "temperature": 0}),
            replace(REQUEST, sample=2),
        ]
        assert [store.get(other) for other in others] == [None] * 4
        assert len({REQUEST.key, *(other.key for other in others)}) == 5


def test_an_answer_is_never_replaced(tmp_path: Path) -> None:
    with AnswerStore(tmp_path / "answers") as store:
        store.add(REQUEST, ANSWER)
        with pytest.raises(CorruptArtifactError):
            store.add(REQUEST, replace(ANSWER, text="other"))
        assert store.get(REQUEST) == ANSWER


def test_a_killed_writer_loses_nothing_it_had_stored(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    for _ in range(3):
        path.unlink(missing_ok=True)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        told = [writer.stdout.readline() for _ in range(20)]
        writer.kill()
        told += writer.stdout.readlines()
        writer.wait()
        stored = sum(line.endswith("\n") for line in told)
        with AnswerStore(path) as store:
            for number in range(stored):
                request = Request(
                    "teacher", "/completions", {"prompt": "x" * 5_000}, number, Usage()
                )
                assert store.get(request) == Answer("y" * 5_000, True, 1, number)
        rows = sqlite3.connect(path)
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert rows.execute("SELECT count(*) FROM answers").fetchone()[0] in (stored, stored + 1)
        rows.close()


def test_a_file_that_is_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(CorruptArtifactError, match="answers: not the answers of a teacher"):
        AnswerStore(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    with pytest.raises(MachineError, match="answers: the answers cannot be read or kept"):
        AnswerStore(tmp_path / "answers")
