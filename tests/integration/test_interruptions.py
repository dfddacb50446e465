"""`kill -9` of the stage and of `dvc` in the middle of pretraining, then `dvc repro` again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from polylm_core.compute.process import command_of
from tests.clone import Clone

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


def wait_until(condition: Callable[[], object], message: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)


def find(clone: Clone, words: str) -> list[int]:
    """Pids of the checkout whose command line holds the words."""
    return [pid for pid in clone.processes() if words in command_of(pid)]


def checkpoints(clone: Clone) -> set[tuple[str, int]]:
    """Name and time of writing of each checkpoint."""
    found = set()
    for path in (clone.path / "runs").glob("pretrain-*/checkpoints/step-*"):
        with suppress(FileNotFoundError):
            found.add((path.name, path.stat().st_mtime_ns))
    return found


def watch_checkpoints(clone: Clone, process: subprocess.Popen[str]) -> set[tuple[str, int]]:
    """All checkpoints that were seen while a process ran."""
    seen: set[tuple[str, int]] = set()
    deadline = time.monotonic() + 300
    while process.poll() is None:
        assert time.monotonic() < deadline
        seen |= checkpoints(clone)
        time.sleep(0.02)
    return seen


@pytest.mark.parametrize("victim", ["worker", "stage", "dvc"])
def test_pretraining_goes_on_and_ends_in_the_same_bytes(clone: Clone, victim: str) -> None:
    undisturbed = clone.artifacts()
    for folder in (clone.path / "runs").glob("pretrain-*"):
        for file in sorted(folder.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
    process = clone.start("python", "-m", "dvc", "repro", "--force", "--single-item", "pretrain")
    wait_until(lambda: checkpoints(clone), "no checkpoint was written")
    stage = next(pid for pid in find(clone, "flows.pretrain") if "-m flows" in command_of(pid))
    ranks = [
        int(file.read_text())
        for file in (clone.path / "runs").glob("pretrain-*/trainer-*.lock")
        if file.read_text()
    ]
    pid = {"worker": ranks[0], "stage": stage, "dvc": process.pid}[victim]
    os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    if victim != "worker":
        wait_until(lambda: not command_of(stage), "the stage outlived its parent", 30)
        wait_until(lambda: not any(map(command_of, ranks)), "a rank outlived its stage", 60)
        assert process.returncode != 0
        kept = checkpoints(clone)
        again = clone.start("python", "-m", "dvc", "repro", "--force", "--single-item", "pretrain")
        written = watch_checkpoints(clone, again) - kept
        output, _ = again.communicate()
        assert again.returncode == 0, output
        assert min(written)[0] > max(kept)[0], "trained from the start again"
    assert clone.artifacts() == undisturbed, output


def test_a_second_trainer_beside_a_living_one_is_refused_by_pid(clone: Clone) -> None:
    profile = clone.path / "infra/profiles/impatient.yaml"
    profile.write_text("lock_wait_seconds: 1\nmap_workers: 2\n")
    first = clone.start("python", "-m", "flows.curate")
    lock = clone.path / "runs/curate.lock"
    wait_until(lambda: lock.read_text() == str(first.pid), "the first did not take the lock")
    status, output = clone.run("python", "-m", "flows.curate", POLYLM_PROFILE="impatient")
    first.communicate(timeout=300)
    profile.unlink()
    assert status == 1
    assert f"already being built by process {first.pid}" in output
    assert first.returncode == 0
