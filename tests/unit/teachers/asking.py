"""What the tests of teachers share: a teacher of the tests' endpoint, quick to try again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from polylm_core.settings import Endpoint
from polylm_core.teachers.config import OpenAITeacher
from polylm_core.teachers.endpoint import EndpointTeacher
from polylm_core.teachers.teacher import Sampling, Usage
from tests.openai_server import KEY, MODEL

KEY_VARIABLE = "TEACHER_KEY"
SAMPLING = Sampling(max_new_tokens=40, temperature=0.7, top_k=40)
PROMPTS = [f"question {number} of many" for number in range(12)]


def make_config(**changes: Any) -> OpenAITeacher:
    content: dict[str, Any] = {
        "kind": "openai",
        "endpoint": "teacher",
        "model": MODEL,
        "form": "chat",
        "prices": {"per_million_prompt_tokens": 500.0, "per_million_answer_tokens": 1500.0},
        "budget": {"max_tokens": 1_000_000},
        "license": "CC0-1.0",
    }
    return OpenAITeacher.model_validate(content | changes)


def make_endpoint(url: str, **changes: Any) -> Endpoint:
    content: dict[str, Any] = {
        "address": url,
        "key_variable": KEY_VARIABLE,
        "concurrent_requests": 8,
        "timeout_seconds": 1.0,
        "first_wait_seconds": 0.01,
        "longest_wait_seconds": 0.05,
    }
    return Endpoint.model_validate(content | changes)


@contextmanager
def teacher_of(
    url: str,
    answers: Path,
    *,
    num_prompts: int = len(PROMPTS),
    key: str = KEY,
    endpoint: dict[str, Any] | None = None,
    heard: list[Usage] | None = None,
    **config: Any,
) -> Iterator[EndpointTeacher]:
    """Open the teacher; `config` and `endpoint` are changes."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(KEY_VARIABLE, key)
        teacher = EndpointTeacher(
            make_config(**config),
            make_endpoint(url, **(endpoint or {})),
            answers,
            num_prompts=num_prompts,
            on_answer=([] if heard is None else heard).append,
        )
    with teacher:
        yield teacher
