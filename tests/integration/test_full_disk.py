"""Each stage where nothing can be written: told in words, and what was there is as it was."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from polylm_core.pipeline import STAGES
from tests.clone import Clone

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]
TOLD = {"full": "no space left while writing", "read-only": "make it writable"}


@contextmanager
def small_disk(clone: Clone, without: Path) -> Iterator[Path]:
    """Put a small file system in the place of `data`, with all of it but one artifact."""
    data, aside = clone.path / "data", clone.path / "data-aside"
    used = sum(-(-file.stat().st_size // 4096) * 4096 for file in data.rglob("*"))
    data.rename(aside)
    data.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={used + 100_000}", "tmpfs", data]
    mounted = subprocess.run(command, check=False).returncode == 0
    try:
        if not mounted:
            pytest.skip("mounting a small disk takes root")
        ignored = shutil.ignore_patterns(without.name)
        shutil.copytree(aside, data, dirs_exist_ok=True, ignore=ignored)
        yield data
    finally:
        if mounted:
            subprocess.run(["umount", data], check=True)
        data.rmdir()
        aside.rename(data)


def fill(folder: Path) -> None:
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


@pytest.mark.parametrize("kind", TOLD)
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_cannot_write_says_so_and_leaves_the_rest(
    clone: Clone, stage: str, kind: str
) -> None:
    before = clone.artifacts()
    with small_disk(clone, STAGES[stage].out) as data:
        if kind == "full":
            fill(data)
        else:
            subprocess.run(["mount", "-o", "remount,ro", data], check=True)
        status, output = clone.run("python", "-m", f"flows.{stage}")
        published = (clone.path / STAGES[stage].out).exists()
        of_stage = f"{STAGES[stage].out}/"
        kept = {name: sha for name, sha in before.items() if not name.startswith(of_stage)}
        assert clone.artifacts() == kept
    assert status == 1, output
    assert TOLD[kind] in output
    assert "Traceback" not in output
    assert not published
