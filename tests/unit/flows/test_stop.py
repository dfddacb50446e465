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
