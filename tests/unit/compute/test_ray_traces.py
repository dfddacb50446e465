"""What is kept of a cluster is bounded, and what cannot be had is told."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from flows import _repro
from polylm_core.compute import ray_traces
from polylm_core.compute.ray_traces import kept, new_folder, tails_of


def test_the_newest_groups_are_kept(tmp_path: Path) -> None:
    parent = tmp_path / "cluster"
    for _ in range(ray_traces.MAX_FOLDERS + 3):
        new_folder(parent)
    numbers = sorted(int(folder.name) for folder in parent.iterdir())
    assert numbers == list(range(4, ray_traces.MAX_FOLDERS + 4))


def test_of_a_long_log_the_end_is_kept_and_of_an_empty_one_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_traces, "TAIL_BYTES", 8)
    (tmp_path / "raylet.out").write_bytes(b"the beginning, the end")
    (tmp_path / "raylet.err").touch()
    (tmp_path / "runtime_env_setup-1.log").write_text("SECRET=1")
    found = tails_of(tmp_path, list(ray_traces.OF_A_MACHINE))
    assert found == {"raylet.out": b" the end"}


def test_the_ends_of_logs_have_no_secrets_not_even_a_piece_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_traces, "TAIL_BYTES", 16)
    monkeypatch.setenv("BUREAU_TOKEN", "s3cr3t-of-the-bureau")
    (tmp_path / "worker-1-01-2.err").write_bytes(b"\xffkey s3cr3t-of-the-bureau")
    (tmp_path / "worker-2-01-2.err").write_bytes(b"s3cr3t-of-the-bureau refused")
    found = tails_of(tmp_path, ["worker-*"])
    assert found == {
        "worker-1-01-2.err": b"\xffkey [hidden]"[-16:],
        "worker-2-01-2.err": b"[hidden] refused"[-16:],
    }


@pytest.mark.parametrize(
    ("error", "told"),
    [(KeyboardInterrupt(), "within 0 s"), (RuntimeError("a rank died"), "within 1 s")],
)
def test_who_cancels_a_stage_waits_less_for_a_cluster_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, told: str
) -> None:
    monkeypatch.setattr(ray_traces, "_copy", lambda *_: time.sleep(3))
    monkeypatch.setattr(ray_traces, "CANCELLED_SECONDS", 0.1)
    monkeypatch.setattr(ray_traces, "COPY_SECONDS", 1.0)
    notes: list[str] = []
    with pytest.raises(type(error)), kept(tmp_path, notes.append):
        raise error
    assert told in notes[0]


def test_a_cancelled_stage_has_most_of_its_time_left_after_the_copy() -> None:
    assert ray_traces.CANCELLED_SECONDS <= _repro.END_SECONDS / 2


def test_of_many_logs_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_traces, "MAX_LOGS", 2)
    for number in range(4):
        file = tmp_path / f"raylet.{number}.out"
        file.write_text("said")
        os.utime(file, (number, number))
    assert set(tails_of(tmp_path, ["raylet*.out"])) == {"raylet.2.out", "raylet.3.out"}


def test_a_cluster_that_is_gone_is_told_and_the_run_has_its_own_end(tmp_path: Path) -> None:
    notes: list[str] = []
    with pytest.raises(ZeroDivisionError), kept(tmp_path, notes.append):
        1 / 0  # noqa: B018
    (note,) = notes
    assert note.startswith("not all that Ray knows of the run could be kept: machines (")
    assert "no connection" in note
