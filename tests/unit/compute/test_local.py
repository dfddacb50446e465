"""Units of work and training ranks as processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from polylm_core.compute.local import LocalBackend
from polylm_core.compute.process import command_of
from polylm_core.errors import MachineError, SourceError, TrainingError
from polylm_core.worker import WorkerContext
from tests import failing_rank

BACKEND = LocalBackend(map_workers=2, training_workers=2, threads_per_worker=1)


def slow_square(number: int) -> int:
    time.sleep(0.05 if number == 0 else 0.0)
    return number * number


def fail_on_three(number: int) -> int:
    if number == 3:
        raise SourceError("line 3 is not UTF-8")
    return number


def own_pid(_: int) -> int:
    return os.getpid()


def own_threads(_: int) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def write_or_fail(path: Path) -> None:
    if path.name == "0":
        raise SourceError("the first one fails")
    time.sleep(0.05)
    path.touch()


def die(_: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(BACKEND.map(slow_square, range(6))) == [0, 1, 4, 9, 16, 25]


def test_an_error_of_a_unit_is_raised_unchanged() -> None:
    with pytest.raises(SourceError, match="line 3"):
        list(BACKEND.map(fail_on_three, range(6)))


def test_a_killed_worker_is_told_as_such_and_the_next_map_has_others() -> None:
    with pytest.raises(MachineError, match="map_workers"):
        list(BACKEND.map(die, range(4)))
    assert list(BACKEND.map(slow_square, range(3))) == [0, 1, 4]


def test_workers_are_kept_from_one_map_to_the_next() -> None:
    backend = LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1)
    first = set(backend.map(own_pid, range(20)))
    second = set(backend.map(own_pid, range(20)))
    assert len(first | second) <= 2
    assert os.getpid() not in first


def test_a_worker_uses_one_thread_and_this_process_what_it_did() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    assert set(BACKEND.map(own_threads, range(4))) == {"1"}
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_workers_end_with_their_backend() -> None:
    with LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1) as backend:
        workers = set(backend.map(own_pid, range(20)))
        assert all(command_of(pid) for pid in workers)
    forgotten = LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1)
    workers |= set(forgotten.map(own_pid, range(20)))
    del forgotten
    deadline = time.monotonic() + 20
    while any(command_of(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(command_of(pid) for pid in workers)


def test_units_that_nobody_waits_for_do_not_go_on(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        list(BACKEND.map(write_or_fail, [tmp_path / str(number) for number in range(40)]))
    written = len(list(tmp_path.iterdir()))
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) == written < 39


def test_a_process_that_asked_for_it_dies_with_its_parent(tmp_path: Path) -> None:
    child_pid = tmp_path / "pid"
    child = (
        "import os, time\n"
        "from polylm_core.compute.process import die_with_parent\n"
        "die_with_parent()\n"
        f"open({str(child_pid)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    parent = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {child!r}]).wait()\n"
    process = subprocess.Popen([sys.executable, "-c", parent])
    deadline = time.monotonic() + 20
    while not (child_pid.exists() and child_pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = int(child_pid.read_text())
    process.kill()
    process.wait()
    while command_of(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert command_of(pid) == ""


def launch(work: Path, *fails: str) -> list[str]:
    """Launch two ranks that fail so in their starts; return what was told."""
    notes: list[str] = []
    BACKEND.launch(
        failing_rank.WORKER,
        {"work": str(work), "fails": fails},
        work=work,
        sizes=[1, 2, 4],
        on_report=lambda _: None,
        on_note=notes.append,
    )
    return notes


def test_ranks_start_again_after_a_death_and_when_they_ask_for_it(tmp_path: Path) -> None:
    lost, again, asked = launch(tmp_path, "killed", "regroup")
    assert "failure 1 of the 3 in a row" in lost
    assert again == asked == "the 2 ranks begin again"
    assert [path.read_text() for path in sorted(tmp_path.glob("starts-*.json"))] == ["3", "3"]


def test_the_error_of_a_rank_is_told_and_not_that_of_a_rank_that_waited_for_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(TrainingError, match="the batch cannot be shared"):
        launch(tmp_path, "error")
    assert (tmp_path / "starts-0.json").read_text() == "1"


def print_to(path: Path) -> None:
    """Print a password, with the standard error of this process going to a file."""
    before = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
    print("password=correct-horse", file=sys.stderr, flush=True)
    os.dup2(before, 2)
    os.close(before)


def print_as_rank(_: WorkerContext, config: Mapping[str, Any]) -> None:
    print_to(Path(config["file"]))


def test_units_and_ranks_print_no_secrets(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("0", "1", "rank")]
    list(BACKEND.map(print_to, files[:2]))
    LocalBackend(map_workers=1, training_workers=1, threads_per_worker=1).launch(
        "tests.unit.compute.test_local:print_as_rank",
        {"file": str(files[2])},
        work=tmp_path,
        sizes=[1],
        on_report=lambda _: None,
        on_note=lambda _: None,
    )
    assert [file.read_text() for file in files] == ["password=[hidden]\n"] * 3
