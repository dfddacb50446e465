from __future__ import annotations

import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from polylm_core.cli import machine

Version = namedtuple("Version", "major minor")


def test_this_machine_passes() -> None:
    assert machine.first_problem(machine.BEFORE_RUN) is None


@pytest.mark.parametrize("seen", [(3, 10), (3, 13), (2, 7)])
def test_another_python_is_named_with_the_way_out(
    seen: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", Version(*seen))
    problem = machine.python_version()
    assert problem is not None
    assert f"Python {seen[0]}.{seen[1]}" in problem
    assert "apt install" in problem
    assert "\n" not in problem


def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.compilers() == "no gcc and no g++ on PATH: apt install gcc g++"
    (tmp_path / "gcc").write_text("#!/bin/sh\n")
    (tmp_path / "gcc").chmod(0o755)
    assert machine.compilers() == "no g++ on PATH: apt install g++"


def test_a_full_disk_is_named_with_both_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=2_500_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    problem = machine.disk_to_run()
    assert problem is not None
    assert problem.startswith("2.5 GB free")
    assert "3 GB needed to run" in problem
    assert "10 GB needed to install" in (machine.disk_to_install() or "")
