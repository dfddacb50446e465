"""A run changes the checkout only once it is the only one there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import _parent
from flows._repro import Ending, one_pipeline
from polylm_core.errors import LockedError


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """What a run does, in its order, in a folder of its own and without Prefect's server."""
    done: list[str] = []

    def noted(name: str) -> Callable[..., None]:
        def note(*_: Any, **__: Any) -> None:
            with pytest.raises(LockedError), one_pipeline(wait_seconds=0):
                raise AssertionError("another run could begin")
            done.append(name)

        return note

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_parent, "LOCK_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(_parent, "ENDING", Ending())
    monkeypatch.setattr(_parent, "get_run_logger", lambda: logging.getLogger("test"))
    for name in ("take_revision", "take_recipe", "require_valid"):
        monkeypatch.setattr(_parent, name, noted(name))
    tries = SimpleNamespace(with_options=lambda **_: noted("repro"))
    monkeypatch.setattr(_parent, "repro", tries)
    factory = logging.getLogRecordFactory()
    yield done
    logging.setLogRecordFactory(factory)


def test_the_lock_is_held_over_checkout_and_reproduction(steps: list[str]) -> None:
    _parent.pipeline.fn(revision="next", recipe="a")
    assert steps == ["take_revision", "take_recipe", "require_valid", "repro"]


def test_a_run_beside_another_changes_nothing(steps: list[str]) -> None:
    with one_pipeline(wait_seconds=0), pytest.raises(LockedError):
        _parent.pipeline.fn(revision="next", recipe="a")
    assert steps == []
    assert isinstance(_parent.ENDING.error, LockedError)


def test_a_checkout_in_which_a_stage_runs_by_hand_stays_as_it_is(steps: list[str]) -> None:
    lock = _parent.nobody_at_work(Path())
    with lock, pytest.raises(LockedError):
        _parent.pipeline.fn(revision="next")
    assert steps == []
