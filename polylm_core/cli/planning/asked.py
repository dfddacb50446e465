"""The endpoints that a recipe asks, and the ceilings of what their answers may cost.

What they will cost depends on answers nobody has yet; no request that could pass a ceiling is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polylm_core.params import Params
from polylm_core.settings import Profile
from polylm_core.teachers.config import OpenAITeacher


def asked(params: Params, profile: Profile) -> list[dict[str, Any]]:
    """Return a row for each endpoint: where it answers, and the most that may be spent there."""
    return [
        {
            "section": section,
            "model": config.model,
            "endpoint": config.endpoint,
            "answers_at": _address(config, profile),
            "at_most_tokens": config.budget.max_tokens,
            "at_most_money": config.budget.max_money,
        }
        for section, config in _configured(params)
        if isinstance(config, OpenAITeacher)
    ]


def _configured(params: Params) -> Iterator[tuple[str, object]]:
    instruct, judge = params.instruct, params.evaluate.judge
    if instruct.self_instruct is not None:
        yield "instruct.self_instruct.teacher", instruct.self_instruct.teacher
    if instruct.translate is not None:
        yield "instruct.translate.translator", instruct.translate.translator
    if judge is not None:
        yield "evaluate.judge.grader", judge.grader


def _address(config: OpenAITeacher, profile: Profile) -> str:
    found = profile.endpoints.get(config.endpoint)
    return "unknown: add it to `endpoints` of the profile" if found is None else found.address
