"""A group may fail often, but not over and over at the same place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from polylm_core.compute.backend import usable
from polylm_core.compute.restarts import MAX_FAILURES, Restarts
from polylm_core.errors import MachineError, TrainingError
from polylm_core.training.watchdog import Watchdog, stacks
from polylm_core.worker import SAVED

LOST = RuntimeError("Traceback ...\n  Connection closed by peer [127.0.0.1]:4711\n\n")


def make_restarts(notes: list[str]) -> Restarts:
    return Restarts(lambda _: None, notes.append, Path("runs/pretrain-1"))


def test_failures_in_a_row_end_the_launch_with_what_was_said_last() -> None:
    notes: list[str] = []
    restarts = make_restarts(notes)
    restarts.report({"step": 25, SAVED: 20})
    for _ in range(MAX_FAILURES):
        restarts.report({"step": 35, SAVED: 20})
        restarts.failed(LOST)
    with pytest.raises(TrainingError, match=r"4 times in a row.*peer.*4711.*runs/pretrain-1/logs"):
        restarts.failed(LOST)
    assert len(notes) == MAX_FAILURES
    assert "failure 3 of the 3" in notes[-1]


def last_words(work: Path) -> str:
    """What a launch says that fails once too often."""
    restarts = Restarts(lambda _: None, lambda _: None, work)
    for _ in range(MAX_FAILURES):
        restarts.failed(LOST)
    with pytest.raises(TrainingError) as caught:
        restarts.failed(LOST)
    return str(caught.value)


def test_stacks_are_named_where_a_rank_hung_and_not_where_it_was_only_lost(tmp_path: Path) -> None:
    folder = tmp_path / "stacks"
    for _ in range(2):  # left as by a killed rank: the file stays open
        watchdog = Watchdog(folder, 0, first_seconds=0.05, grace_seconds=600)
        watchdog.__enter__()
        assert "hung" not in last_words(tmp_path)
    with watchdog.work("an upload that does not end"):
        deadline = time.monotonic() + 60
        while not stacks(folder) and time.monotonic() < deadline:
            time.sleep(0.05)
    assert f"logs, where one hung in {folder}." in last_words(tmp_path)


def test_a_run_that_gets_further_in_between_goes_on_for_ever() -> None:
    restarts = make_restarts([])
    for saved in range(10 * MAX_FAILURES):
        restarts.report({"step": saved, SAVED: saved})
        restarts.failed(LOST)


def test_a_report_that_goes_back_is_no_progress() -> None:
    restarts = make_restarts([])
    for saved in (40, 20, 40, 20):
        restarts.report({"step": 45, SAVED: saved})
        if saved == 20:
            restarts.failed(LOST)
    restarts.failed(LOST)
    with pytest.raises(TrainingError):
        restarts.failed(LOST)


def test_every_report_is_passed_on() -> None:
    seen: list[float] = []
    restarts = Restarts(lambda metrics: seen.append(metrics["step"]), print, Path("run"))
    restarts.report({"step": 5})
    restarts.report({"step": 10, SAVED: 10})
    assert seen == [5, 10]


def test_of_the_sizes_those_that_fit_are_taken_the_largest_first() -> None:
    assert usable([1, 2, 4, 8], 4) == [4, 2, 1]
    with pytest.raises(MachineError, match=r"there are 2 ranks.*shared by \[3, 6\]"):
        usable([3, 6], 2)
