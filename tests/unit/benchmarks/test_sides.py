"""Sides of a comparison that take turns."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks.engine import sides
from benchmarks.engine.baton import Baton
from benchmarks.engine.pretraining import Measured


def test_processes_work_by_turns_and_end_after_the_last_turn_of_all(tmp_path: Path) -> None:
    folder = tmp_path / "baton"
    Baton.create(folder, 3)
    done: list[int] = []
    warm = threading.Barrier(3)

    def work(place: int) -> None:
        baton = Baton(folder, place)
        warm.wait()
        for group in range(4):
            if group:  # the first each does when it likes
                done.append(place)
                time.sleep(0.01)  # in which the others would work, had they not to wait
            if place or group < 3:
                baton.hand_over()
        done.append(-1)
        baton.drop()

    threads = [threading.Thread(target=work, args=(place,), daemon=True) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert done == [1, 2, 0] * 3 + [-1] * 3


def test_speeds_of_a_pair_are_compared_group_by_group() -> None:
    def measured(seconds: list[float]) -> Measured:
        return Measured([2.0], 1.0, 1.0, 1, 1.0, seconds)

    ours = [measured([1.0, 1.0, 4.0]), measured([1.0])]
    theirs = [measured([1.5, 1.5, 6.0]), measured([1.2])]  # of four pairs one has another ratio
    assert sides.paired_ratio(ours, theirs) == 1.5


def test_a_side_that_fails_ends_the_one_that_waits_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(name: str, code: str) -> sides.Side:
        work = tmp_path / name
        work.mkdir()
        with (work / "output.txt").open("w") as output:
            process = subprocess.Popen([sys.executable, "-c", code], stdout=output)
        return sides.Side(process, [name], work, None)

    waits = start("waits", "import time; time.sleep(600)")
    fails = start("fails", "print('lost', flush=True); raise SystemExit(3)")
    with pytest.raises(SystemExit, match="error: fails ended with status 3"):
        sides.finish_together([waits, fails])
    assert waits.process.poll() is not None
    assert capsys.readouterr().err == "lost\n"
