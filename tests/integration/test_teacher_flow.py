"""`dvc repro instruct` with a teacher behind an endpoint: killed, resumed, and the key nowhere."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from polylm_core.compute.process import command_of
from tests.clone import Clone, make_clone
from tests.openai_server import KEY, MODEL, Books, serve_openai
from tests.teacher_job import KEY_VARIABLE, two_tasks

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]
NUM_PROMPTS = 40


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A checkout whose recipe names an endpoint, made as far as `curate`."""
    clone = make_clone(tmp_path_factory.mktemp("teacher").resolve() / "checkout")
    file = clone.path / "params.yaml"
    params = yaml.safe_load(file.read_text(encoding="utf-8"))
    params["instruct"]["self_instruct"] |= {
        "teacher": {
            "kind": "openai",
            "endpoint": "hosted",
            "model": MODEL,
            "form": "chat",
            "prices": {"per_million_prompt_tokens": 0.5, "per_million_answer_tokens": 1.5},
            "budget": {"max_money": 1.0},
            "license": "CC0-1.0",
        },
        "max_generated_tokens": NUM_PROMPTS * 100,
        "max_new_tokens": 100,
        "rounds": 2,
    }
    file.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    try:
        status, output = clone.repro("curate")
        assert status == 0, output
        yield clone
    finally:
        clone.stop()
    assert clone.processes() == []


def name_endpoint(clone: Clone, books: Books) -> None:
    file = clone.path / "infra/profiles/laptop.yaml"
    profile = yaml.safe_load(file.read_text(encoding="utf-8"))
    profile["endpoints"] = {
        "hosted": {
            "address": books.url,
            "key_variable": KEY_VARIABLE,
            "concurrent_requests": 4,
            "first_wait_seconds": 0.05,
        }
    }
    file.write_text(yaml.safe_dump(profile), encoding="utf-8")


def holding(folder: Path, secret: str) -> list[str]:
    """Files that hold a text, whoever wrote them."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    assert any(file.suffix.startswith(".db") for file in files), "Prefect's database is missing"
    return [str(file) for file in files if secret.encode() in file.read_bytes()]


def test_a_killed_stage_goes_on_and_the_key_is_nowhere(clone: Clone) -> None:
    wrong = f"{KEY}-but-wrong"
    with serve_openai(answer=two_tasks, slow_seconds=lambda key: 0.2) as books:
        name_endpoint(clone, books)
        status, output = clone.repro("instruct", **{KEY_VARIABLE: wrong})
        assert status != 0
        assert "401: wrong key: Bearer [key]" in output
        assert KEY not in output
        process = clone.start("python", "-m", "dvc", "repro", "instruct", **{KEY_VARIABLE: KEY})
        deadline = time.monotonic() + 120
        while sum(books.sent.values()) < NUM_PROMPTS // 3:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for pid in clone.processes():
            if "-m flows.instruct" in command_of(pid):
                os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=120)
        arrived = {key for key, count in books.sent.items() if count}
        status, output = clone.repro("instruct", **{KEY_VARIABLE: KEY})
        assert status == 0, output
    assert len(books.charged) == NUM_PROMPTS
    again = [key for key in arrived if books.sent[key] > 1]
    assert len(again) <= 4, "more was asked again than was under way"
    manifest = json.loads((clone.path / "data/07_instructions/manifest.json").read_text())
    assert set(manifest["counts"]["train_by_origin"]["self-instruct"]) == {"eng_Latn", "deu_Latn"}
    assert KEY not in output
    assert holding(clone.path, KEY) == []
