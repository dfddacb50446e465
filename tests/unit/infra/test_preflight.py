from __future__ import annotations

import ast
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra import preflight
from tests.architecture.closure import ROOT

OTHER_PYTHONS = ("3.7", "3.8", "3.9", "3.10", "3.13", "3.14")


def test_a_port_in_use_is_named_with_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("PREFECT_SERVER_API_PORT", str(port))
        monkeypatch.setitem(preflight.CHECKS, "run", (preflight.prefect_port,))
        assert preflight.main(["run"]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"error: port {port} is in use")
    assert line.count("\n") == 1


def test_a_port_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_SERVER_API_PORT", "http")
    assert "'http', not a number" in (preflight.prefect_port() or "")


def test_only_the_first_problem_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = (lambda: None, lambda: "first", lambda: "second")
    monkeypatch.setitem(preflight.CHECKS, "run", checks)
    assert preflight.main(["run"]) == 1
    assert capsys.readouterr().err == "error: first\n"


def test_an_unknown_step_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert preflight.main([]) == 2
    assert "install|run" in capsys.readouterr().err


def test_the_check_parses_under_pythons_too_old_to_run_polylm() -> None:
    for name in ("infra/__init__", "infra/preflight", "polylm_core/cli/machine"):
        source = (ROOT / f"{name}.py").read_text(encoding="utf-8")
        ast.parse(source, feature_version=(3, 7))


def test_a_python_that_does_not_fit_gets_one_line() -> None:
    found = [python for version in OTHER_PYTHONS if (python := shutil.which(f"python{version}"))]
    working = [
        python
        for python in found
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    ]
    if not working:
        pytest.skip(f"none of Python {', '.join(OTHER_PYTHONS)} is here")
    for python in working:
        command = [python, "-m", "infra.preflight", "install"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("error: Python 3.")
        assert len(done.stderr.splitlines()) == 1


def test_make_names_a_python_that_is_not_there(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    command = ["make", "install", "PYTHON=/no/such/python"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        command, cwd=tmp_path, env=outside, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(lines) == 1
    assert lines[0].startswith("error: /no/such/python is no Python 3.11 or 3.12")


def test_make_passes_over_a_python3_that_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (tmp_path / "python3").chmod(0o755)
    (tmp_path / "python3.12").symlink_to(sys.executable)
    done = subprocess.run(
        ["make", "--no-print-directory", "--eval", "show: ; @echo $(PYTHON)", "show"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "python3.12\n"
