"""How `dvc repro` ended says whether another try may help, and nothing outlives it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows._conclusion import TEMPORARY
from flows._repro import _end_group, _run_dvc, failure, require_remote
from polylm_core.compute.process import command_of
from polylm_core.errors import InfrastructureError, MachineError, StageError


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (255, f"failed to run: python -m flows.mix, exited with {TEMPORARY}"),
        (255, "failed to run: python -m flows.pretrain, exited with -9"),
        (255, "failed to run: python -m flows.pretrain, exited with 137"),
        (255, "ERROR: Unable to acquire lock. Most likely another DVC process is running"),
        (-15, "Running stage 'mix':"),
    ],
)
def test_what_the_infrastructure_did_may_pass(status: int, line: str) -> None:
    assert type(failure("repro", status, [line])) is InfrastructureError


@pytest.mark.parametrize(
    "line",
    [
        "failed to run: python -m flows.vocab, exited with 1",
        "ERROR: 'dvc.yaml' is invalid.",
        "",
    ],
)
def test_what_a_stage_refuses_it_refuses_again(line: str) -> None:
    assert type(failure("repro", 255, [line])) is StageError


@pytest.mark.parametrize(("status", "kind"), [(TEMPORARY, InfrastructureError), (1, StageError)])
def test_dvc_itself_says_how_its_stage_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, kind: type[Exception]
) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (tmp_path / "dvc.yaml").write_text(f"stages:\n  mix:\n    cmd: exit {status}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    lines: list[str] = []
    with pytest.raises(kind):
        _run_dvc(["repro"], {}, lines.append)
    assert any(f"exited with {status}" in line for line in lines)


def test_a_grandchild_that_will_not_end_is_ended_with_its_group() -> None:
    stubborn = (
        "import signal, subprocess, sys, time\n"
        "program = 'import signal, time; signal.signal(15, signal.SIG_IGN); '"
        "'print(1, flush=True); time.sleep(60)'\n"
        "child = subprocess.Popen([sys.executable, '-c', program])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", stubborn], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    grandchild = max(int(process.stdout.readline()), int(process.stdout.readline()))
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows._repro.END_SECONDS", 0.5)
        _end_group(process)
    assert time.monotonic() - began < 10
    assert not command_of(grandchild)


def dvc(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *words], check=True)


@pytest.mark.parametrize(
    ("remote", "told"),
    [
        ("remote list", "no remote specified"),
        ("remote add -d far gs://bucket/results", "requires 'dvc-gs'"),
        ("config core.remote nowhere", "'nowhere' doesn't exist"),
    ],
)
def test_a_remote_that_nothing_can_be_sent_to_is_told_before_the_work(
    remote: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dvc("init", "-q", "--no-scm")
    dvc(*remote.split())
    with pytest.raises(MachineError, match=told):
        require_remote()
    dvc("remote", "add", "-fd", "near", str(tmp_path / "near"))
    require_remote()
