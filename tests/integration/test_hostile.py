"""Files made to do harm are refused by name: soon, with little memory, and without the harm."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.clone import ROOT
from tests.hostile import KINDS

SECONDS = 2.0
"""Of the processor: what the clock on the wall says depends on what else a machine does."""
WALL_SECONDS = 10.0
"""By the clock, less the time in which other processes had the processor: so loose that only who
waits for something exceeds it."""
BYTES = 512 * 10**6


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """How each file was met, by its kind."""
    folder = str(tmp_path_factory.mktemp("hostile"))
    command = [sys.executable, "-m", "tests.hostile", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {row["kind"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_there_are_many_kinds() -> None:
    assert len(KINDS) >= 12


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_file_is_refused_by_name_and_soon(
    ended: dict[str, dict[str, Any]], kind: str
) -> None:
    row = ended[kind]
    assert row["ended"] == "refused", row
    assert KINDS[kind][1] in row["told"]
    assert row["processor_seconds"] <= SECONDS
    assert row["seconds"] <= WALL_SECONDS
    assert row["bytes"] <= BYTES
    assert row["harm"] == []
