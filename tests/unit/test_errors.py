"""Errors that reach the user, from wherever they were raised."""

from __future__ import annotations

import pickle

import pytest

from polylm_core.errors import (
    ParamsError,
    PolyLMError,
    Problem,
    PromptTooLongError,
    SourceError,
    UnknownLanguageError,
)


@pytest.mark.parametrize(
    "error",
    [
        ParamsError("params.yaml", [Problem("mix.tokens", "must be positive", -1)]),
        UnknownLanguageError("ger_Latn", ["deu_Latn", "gle_Latn"]),
        PromptTooLongError("prompt 3", 300, 160),
        SourceError("line 3 is not UTF-8"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_crosses_to_another_process_whole(error: PolyLMError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_of_a_whole_section_only_its_beginning_is_shown() -> None:
    said = str(Problem("finetune", "is not right", {"phases": ["long " * 100]}))
    assert said.startswith("finetune: is not right (got {'phases': ['long long ")
    assert said.endswith("...)")
    assert len(said) < 200
