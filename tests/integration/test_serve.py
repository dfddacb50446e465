"""An exported chat model behind `transformers serve`, asked as docs/howto/serve.md says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from polylm_core.chat import CHAT_TEMPLATE
from tests.clone import free_port
from tests.exported import make_export

pytestmark = pytest.mark.timeout(300)
START_SECONDS = 240


@dataclass(frozen=True)
class Serving:
    """A server that answers, and what it was started with."""

    url: str
    model: str


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("served")
    exported = make_export(root).folder
    (exported / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    (root / "data").mkdir()
    exported.rename(root / "data/08_chat")
    port = free_port()
    program = str(Path(sys.executable).with_name("transformers"))
    log = root / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "serve", "data/08_chat", "--port", str(port)],
            cwd=root,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://localhost:{port}"
        _wait(url, process, log)
        yield Serving(url, "data/08_chat")
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise AssertionError(f"no answer in {START_SECONDS} s")


def ask(serving: Serving, **settings: object) -> dict[str, object]:
    body = {
        "model": serving.model,
        "messages": [{"role": "user", "content": "save"}],
        "max_tokens": 8,
        **settings,
    }
    answer = httpx.post(f"{serving.url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    value: dict[str, object] = answer.json()
    return value


def test_the_export_answers_a_chat(serving: Serving) -> None:
    answer = ask(serving, frequency_penalty=0.2)
    assert answer["object"] == "chat.completion"
    assert answer["usage"]["completion_tokens"] <= 8  # type: ignore[index]
    assert answer["choices"][0]["message"]["role"] == "assistant"  # type: ignore[index]


def test_the_export_streams_its_answer(serving: Serving) -> None:
    body = {
        "model": serving.model,
        "messages": [{"role": "user", "content": "save"}],
        "max_tokens": 8,
        "stream": True,
    }
    with httpx.stream(
        "POST", f"{serving.url}/v1/chat/completions", json=body, timeout=60
    ) as answer:
        events = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert len(events) > 1
    assert "chat.completion.chunk" in events[0]
