"""Locks, atomic writes and fingerprints."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from polylm_core.errors import LockedError, MachineError
from polylm_core.storage import (
    canonical_json,
    exclusive_lock,
    filling,
    fingerprint,
    link_or_copy,
    no_space_named,
    refusal_named,
    replacing,
    write_atomic,
)


def hold(path: Path, held: Event) -> None:
    with exclusive_lock(path, what="x", wait_seconds=0):
        held.set()
        time.sleep(60)


def start_holder(path: Path) -> multiprocessing.Process:
    held = multiprocessing.Event()
    process = multiprocessing.Process(target=hold, args=(path, held), daemon=True)
    process.start()
    assert held.wait(10)
    return process


def test_a_lock_held_by_a_living_process_names_its_pid(tmp_path: Path) -> None:
    lock = tmp_path / "stage.lock"
    holder = start_holder(lock)
    began = time.monotonic()
    with (
        pytest.raises(LockedError, match=f"data/06_base is already being built by.*{holder.pid}"),
        exclusive_lock(lock, what="data/06_base", wait_seconds=0.5),
    ):
        pass
    assert time.monotonic() - began >= 0.5
    holder.kill()


def test_a_lock_ends_with_its_holder_however_that_ends(tmp_path: Path) -> None:
    lock = tmp_path / "stage.lock"
    holder = start_holder(lock)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    with exclusive_lock(lock, what="x", wait_seconds=10):
        assert lock.read_text() == str(os.getpid())


def test_an_atomic_write_leaves_no_partial_file(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    write_atomic(target, b"old")
    write_atomic(target, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]
    assert target.read_bytes() == b"new"


def test_of_two_that_write_a_file_at_once_each_leaves_it_whole(tmp_path: Path) -> None:
    target = tmp_path / "rows"
    with replacing(target) as lost:
        lost.write_bytes(b"the s")
        with replacing(target) as again:
            again.write_bytes(b"the same")
        assert target.read_bytes() == b"the same"
        lost.write_bytes(b"the same")
    assert [file.name for file in tmp_path.iterdir()] == ["rows"]
    assert target.read_bytes() == b"the same"


def test_of_two_that_fill_a_folder_at_once_each_leaves_its_files_whole(tmp_path: Path) -> None:
    unit = tmp_path / "unit"
    with filling(unit) as lost:
        (lost / "rows").write_bytes(b"the s")
        with filling(unit) as again:
            (again / "parts").mkdir()
            (again / "parts" / "0").write_bytes(b"part")
            (again / "rows").write_bytes(b"the same")
        assert (unit / "rows").read_bytes() == b"the same"
        (lost / "rows").write_bytes(b"the same")
    assert sorted(str(file.relative_to(unit)) for file in unit.rglob("*")) == [
        "parts", "parts/0", "rows",
    ]  # fmt: skip
    assert [file.name for file in tmp_path.iterdir()] == ["unit"]


def test_a_folder_is_not_filled_by_a_write_that_fails(tmp_path: Path) -> None:
    def fail_halfway() -> None:
        with filling(tmp_path / "unit") as partial:
            (partial / "rows").write_bytes(b"half")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "rows"
    target.write_bytes(b"old")

    def fail_halfway() -> None:
        with replacing(target) as partial:
            partial.write_bytes(b"ne")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        fail_halfway()
    assert [file.name for file in tmp_path.iterdir()] == ["rows"]
    assert target.read_bytes() == b"old"


def test_a_link_is_the_file_under_another_name(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"text")
    link_or_copy(str(source), str(target))
    source.unlink()
    assert target.read_bytes() == b"text"


def test_a_full_disk_is_named_with_the_place(tmp_path: Path) -> None:
    with (
        pytest.raises(MachineError, match=r"no space left while writing .*shard.*bytes free"),
        no_space_named(tmp_path / "shard"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    refused = pytest.raises(MachineError, match=r"/sys/none: Permission denied; make it writable")
    with refused, refusal_named(tmp_path):
        Path("/sys/none").write_bytes(b"refused to root too")


def test_other_errors_of_the_system_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), no_space_named(tmp_path):
        raise PermissionError(errno.EACCES, "denied")


def test_equal_values_have_equal_fingerprints_whatever_their_order() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": [1, 2]}) != fingerprint({"a": [2, 1]})


@pytest.mark.parametrize("value", [{1, 2}, Path("x"), float("nan"), object()])
def test_a_value_without_a_stable_identity_has_no_fingerprint(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical_json({"value": value})
