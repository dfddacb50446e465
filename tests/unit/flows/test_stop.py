from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import stop
from polylm_core.compute.process import command_of


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that names a session folder as Ray's processes do."""
    program = "import time; print('ready', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", program, f"--session_dir={tmp_path}/session_1/sockets"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_process_is_known_by_a_path_below_the_folder(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    assert stop.processes_naming(tmp_path) == [sleeper.pid]


def test_a_folder_whose_name_only_begins_alike_is_another_checkouts(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    assert command_of(sleeper.pid)
    assert stop.processes_naming(Path(f"{tmp_path}"[:-1])) == []


def test_the_processes_are_ended(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    stop.end_processes(stop.processes_naming(tmp_path))
    assert sleeper.wait(timeout=10) != 0
    assert stop.processes_naming(tmp_path) == []


def test_an_agent_of_ray_is_known_by_the_checkout_it_works_in(tmp_path: Path) -> None:
    agent = subprocess.Popen(["ray::DashboardAgent", "60"], executable="/bin/sleep", cwd=tmp_path)
    try:
        wait_until_named = time.monotonic() + 5
        while not stop.ray_processes_in(tmp_path) and time.monotonic() < wait_until_named:
            time.sleep(0.01)
        assert stop.ray_processes_in(tmp_path) == [agent.pid]
        assert stop.ray_processes_in(tmp_path.parent) == []
    finally:
        agent.kill()
        agent.wait()


STAGE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
print("ready", flush=True)
time.sleep(60)
"""
RUNNER = """
import subprocess, sys
sys.exit(subprocess.call([sys.executable, "-m", "flows.pretrain"]))
"""


def run_of(checkout: Path) -> subprocess.Popen[bytes]:
    """A `dvc repro` with a stage, as they are seen among the machine's processes."""
    (checkout / "flows").mkdir(parents=True)
    (checkout / "flows/__init__.py").touch()
    (checkout / "flows/pretrain.py").write_text(STAGE, encoding="utf-8")
    (checkout / "dvc").write_text(RUNNER, encoding="utf-8")
    command = [sys.executable, str(checkout / "dvc"), "repro"]
    run = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE)
    assert run.stdout is not None
    run.stdout.readline()
    return run


def test_a_run_is_ended_stage_first_and_that_of_another_checkout_goes_on(tmp_path: Path) -> None:
    ours, other = run_of(tmp_path / "ours"), run_of(tmp_path / "other")
    try:
        stages, runners = stop.run_in(tmp_path / "ours")
        assert runners == [ours.pid]
        assert [command_of(pid).split()[-1] for pid in stages] == ["flows.pretrain"]
        assert stop.end_run(tmp_path / "ours")
        assert ours.wait(timeout=10) == 1, "the stage's own status: DVC was not killed"
        assert stop.run_in(tmp_path / "ours") == ([], [])
        assert other.poll() is None
        assert len(stop.run_in(tmp_path / "other")[0]) == 1
    finally:
        stop.end_run(tmp_path / "other")
        for run in (ours, other):
            run.kill()
            run.wait()


def test_where_nothing_runs_nothing_is_ended(tmp_path: Path) -> None:
    assert not stop.end_run(tmp_path)
