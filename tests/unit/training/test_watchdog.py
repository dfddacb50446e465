"""Real processes hang, write down where, and end."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from polylm_core.training.watchdog import (
    FIRST_SECONDS,
    FIRST_STEPS,
    LEAST_SECONDS,
    Watchdog,
    stacks,
)
from tests.hanging import GRACE_SECONDS

DEADLINE_SECONDS = 3.0


@dataclass(frozen=True)
class Ended:
    """What became of a rank."""

    status: int
    seconds_after_deadline: float
    stacks: str


def let_hang(folder: Path, *hows: str) -> list[Ended]:
    """Run a rank for each way to hang and wait for their end."""
    ranks = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.hanging", str(rank), how),
                *(str(folder / "store"), str(folder / "stacks"), str(DEADLINE_SECONDS)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank, how in enumerate(hows)
    ]
    ends: dict[int, float] = {}
    while len(ends) < len(ranks):
        for number, rank in enumerate(ranks):
            if number not in ends and rank.poll() is not None:
                ends[number] = time.time()
        time.sleep(0.02)
    return [
        Ended(
            rank.returncode,
            ends[number] - float(rank.communicate()[0]) - DEADLINE_SECONDS,
            (folder / "stacks" / f"rank-{number}.txt").read_text(),
        )
        for number, rank in enumerate(ranks)
    ]


@pytest.mark.parametrize(("how", "function"), [("python", "sleep_in_python"), ("c", "sleep_in_c")])
def test_a_rank_that_hangs_and_the_one_that_waits_for_it_tell_where_and_end(
    tmp_path: Path, how: str, function: str
) -> None:
    hung, waiting = let_hang(tmp_path, how, "wait")
    for rank, place in ((hung, function), (waiting, "all_reduce")):
        assert rank.status == 1
        assert "at step 3 " in rank.stacks.splitlines()[0]
        assert f" in {place}\n" in rank.stacks
        assert GRACE_SECONDS - 0.5 < rank.seconds_after_deadline < GRACE_SECONDS + 1.5
    assert "step 3 is over its deadline of 3 s" in waiting.stacks
    assert stacks(tmp_path / "stacks") == [
        tmp_path / "stacks" / "rank-0.txt",
        tmp_path / "stacks" / "rank-1.txt",
    ]


def test_a_run_in_time_leaves_nothing_behind(tmp_path: Path) -> None:
    with Watchdog(tmp_path, 0) as watchdog:
        with watchdog.step(1):
            assert "at step 1 " in (tmp_path / "rank-0.txt").read_text()
        with watchdog.work("validation after step 1"):
            assert "at validation after step 1 " in (tmp_path / "rank-0.txt").read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_ends_late_is_on_record_and_the_run_goes_on(tmp_path: Path) -> None:
    bound = {"step_seconds": 0.05, "first_seconds": 0.05}
    with Watchdog(tmp_path, 0, **bound, grace_seconds=60) as watchdog:
        with watchdog.step(7):
            time.sleep(0.5)
        with watchdog.step(8):
            pass
    text = stacks(tmp_path)[0].read_text()
    assert "step 7 is over its deadline" in text
    assert "test_a_step_that_ends_late" in text
    assert "step 8 is over" not in text


def test_the_stacks_of_an_earlier_start_are_kept(tmp_path: Path) -> None:
    for number in range(3):
        with Watchdog(tmp_path, 0, step_seconds=0.02, first_seconds=0.02) as watchdog:
            with watchdog.step(number):
                time.sleep(0.3)
    assert [path.name for path in stacks(tmp_path)] == [
        "rank-0.1.txt",
        "rank-0.2.txt",
        "rank-0.txt",
    ]
    assert ["at step 0 " in path.read_text() for path in stacks(tmp_path)] == [True, False, False]


def test_the_deadline_follows_the_steps_before(tmp_path: Path) -> None:
    with Watchdog(tmp_path, 0) as watchdog:
        for step in range(FIRST_STEPS):
            assert watchdog.step_seconds == FIRST_SECONDS
            with watchdog.step(step):
                pass
        assert watchdog.step_seconds == LEAST_SECONDS
    with Watchdog(tmp_path, 0, step_seconds=40.0) as watchdog:
        for step in range(FIRST_STEPS):
            assert watchdog.step_seconds == FIRST_SECONDS
            with watchdog.step(step):
                pass
        assert watchdog.step_seconds == 40.0


def test_a_step_that_fails_ends_its_deadline(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="broken"),
        Watchdog(tmp_path, 0, first_seconds=0.3, grace_seconds=0) as watchdog,
        watchdog.step(1),
    ):
        raise ValueError("broken")
    time.sleep(0.6)  # a deadline that went on would end this process
    assert list(tmp_path.iterdir()) == []
