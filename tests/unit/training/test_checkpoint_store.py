"""Where a run's checkpoints lie, what becomes of damaged ones, and their copies elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from polylm_core import remote
from polylm_core.errors import MachineError, TrainingError
from polylm_core.settings import CheckpointPolicy
from polylm_core.training import checkpoint, checkpoint_store, loop
from polylm_core.training.checkpoint import INDEX
from polylm_core.training.checkpoint_store import LONGEST_COPY, MAX_FAILED_COPIES, CheckpointStore
from polylm_core.training.events import read_events
from polylm_core.training.job import TrainJob
from polylm_core.training.watchdog import Watchdog
from tests.one_rank import OnlyRank
from tests.unit.training.test_checkpoint import assert_same, make_engine, make_store

pytestmark = pytest.mark.usefixtures("only_rank")


def test_a_first_save_that_was_cut_short_is_begun_again(job: TrainJob, tmp_path: Path) -> None:
    store = make_store(tmp_path / "run")
    checkpoint.write_parts(make_engine(job, steps=2), store.folder / "step-00000002")
    assert store.restore(make_engine(job)) is None


@pytest.mark.parametrize("harm", ["weights", "index", "unreadable"])
def test_where_no_finished_checkpoint_can_be_read_the_run_does_not_begin_again(
    job: TrainJob, tmp_path: Path, harm: str
) -> None:
    store = make_store(tmp_path / "run")
    for step in (2, 4):
        store.save(make_engine(job), step)
        folder = checkpoint.folder_of(store.folder, step)
        file = folder / ("weight-00000.safetensors" if harm == "weights" else INDEX)
        file.unlink()
        if harm == "unreadable":
            file.mkdir()  # there, and an OSError to whoever reads it
        else:
            file.write_text("{")
    told = rf"no checkpoint in {store.folder} .*step 4: .*step 2: .*delete {store.folder} to train"
    with pytest.raises(TrainingError, match=told):
        make_store(tmp_path / "run").restore(make_engine(job))


def test_a_damaged_index_is_brought_back_by_its_copy(job: TrainJob, tmp_path: Path) -> None:
    storage = str(tmp_path / "storage")
    store = make_store(tmp_path / "run", storage=storage)
    store.save(make_engine(job), 2)
    store.finish_copy()
    (store.folder / "step-00000002" / INDEX).write_text("{")
    assert make_store(tmp_path / "run", storage=storage).restore(make_engine(job)) == 2


def test_where_every_copy_is_damaged_both_places_are_named(job: TrainJob, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    store = make_store(tmp_path / "run", storage=str(storage))
    store.save(make_engine(job), 2)
    store.finish_copy()
    (storage / "run/step-00000002/weight-00000.safetensors").write_bytes(b"cut short")
    (tmp_path / "run").rename(tmp_path / "lost")
    again = make_store(tmp_path / "run", storage=str(storage))
    with pytest.raises(TrainingError, match=rf"delete {again.folder} and {storage}/run to train"):
        again.restore(make_engine(job))


def test_a_damaged_checkpoint_takes_no_older_ones_place(job: TrainJob, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    store = make_store(tmp_path / "run", storage=str(storage), keep_last=2)
    for step in (1, 2, 3):
        store.save(make_engine(job), step)
    store.finish_copy()
    for folder in (store.folder, storage / "run"):
        (folder / "step-00000003/weight-00000.safetensors").write_bytes(b"cut short")
    again = make_store(tmp_path / "run", storage=str(storage), keep_last=2)
    assert again.restore(make_engine(job)) == 2
    again.save(make_engine(job), 4)
    again.finish_copy()
    for folder in (store.folder, storage / "run"):
        assert {2, 4} <= {int(path.name[5:]) for path in folder.glob("step-*")}, folder
    (storage / "run/step-00000004" / INDEX).unlink()  # as when copying was cut short
    again.save(make_engine(job), 5)
    again.finish_copy()
    again.save(make_engine(job), 6)
    again.finish_copy()
    for folder in (store.folder, storage / "run"):
        assert {5, 6} == {int(path.name[5:]) for path in folder.glob("step-*")}, folder


def test_a_copy_elsewhere_brings_a_lost_folder_back(job: TrainJob, tmp_path: Path) -> None:
    storage = str(tmp_path / "storage")
    store = make_store(tmp_path / "run", storage=storage, keep_last=1)
    trained = make_engine(job, steps=4)
    store.save(make_engine(job, steps=2), 2)
    store.save(trained, 4)
    store.finish_copy()
    assert [folder.name for folder in (tmp_path / "storage/run").glob("s*")] == ["step-00000004"]
    (tmp_path / "run").rename(tmp_path / "lost")
    restored = make_engine(job)
    assert make_store(tmp_path / "run", storage=storage).restore(restored) == 4
    assert_same(trained, restored)


def test_the_books_of_a_lost_folder_come_back_with_its_checkpoints(
    job: TrainJob, tmp_path: Path
) -> None:
    storage = str(tmp_path / "storage")
    store = make_store(tmp_path / "run", storage=storage)
    (tmp_path / "run/skips.jsonl").write_text("left out\n")
    store.save(make_engine(job), 2)
    store.finish_copy()
    (tmp_path / "run").rename(tmp_path / "lost")
    make_store(tmp_path / "run", storage=storage)
    assert (tmp_path / "run/skips.jsonl").read_text() == "left out\n"
    assert not (tmp_path / "run/metrics.jsonl").exists()
    (tmp_path / "run/skips.jsonl").write_text("more left out\n")
    make_store(tmp_path / "run", storage=storage)
    assert (tmp_path / "run/skips.jsonl").read_text() == "more left out\n"


def test_the_copy_of_a_step_that_is_saved_again_does_not_count_until_it_is_whole(
    job: TrainJob, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    store = make_store(tmp_path / "run", storage=str(storage))
    for step in (1, 2):
        store.save(make_engine(job), step)
    store.finish_copy()
    for folder in (store.folder, storage / "run"):
        (folder / "step-00000002/weight-00000.safetensors").write_bytes(b"cut short")
    again = make_store(tmp_path / "run", storage=str(storage))
    assert again.restore(make_engine(job)) == 1
    (damaged,) = (
        row
        for row in read_events(tmp_path / "run/events.jsonl")
        if row["event"] == "checkpoint-damaged"
    )
    assert "rank 0: " in damaged["why"]
    assert "step-00000002/weight-00000.safetensors: sha256 is" in damaged["why"]
    again.save(make_engine(job), 2)
    assert not (storage / "run/step-00000002" / INDEX).exists()
    again.finish_copy()
    assert (storage / "run/step-00000002" / INDEX).exists()


def test_a_storage_that_fails_for_a_while_costs_copies_and_not_the_run(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT_SECONDS", 0.0)
    storage = tmp_path / "storage"
    store = make_store(tmp_path / "run", storage=str(storage))

    def copy(step: int) -> None:
        store.save(make_engine(job), step)
        store.finish_copy()

    copy(1)
    (storage / "run").rename(tmp_path / "away")
    (storage / "run").write_text("no folder")
    for step in range(2, 1 + MAX_FAILED_COPIES):
        copy(step)
    events = read_events(tmp_path / "run/events.jsonl")
    failed = [row for row in events if row["event"] == "checkpoint-not-copied"]
    assert [row["step"] for row in failed] == list(range(2, 1 + MAX_FAILED_COPIES))
    assert "cannot be written after" in failed[0]["error"]
    (storage / "run").unlink()
    (tmp_path / "away").rename(storage / "run")
    copy(9)
    assert (storage / "run/step-00000009" / INDEX).is_file()
    (storage / "run").rename(tmp_path / "away")
    (storage / "run").write_text("no folder")
    for step in range(10, 9 + MAX_FAILED_COPIES):
        copy(step)
    with pytest.raises(MachineError, match="cannot be written after"):
        copy(20)


def test_a_storage_that_cannot_be_written_at_all_is_told_at_the_first_copy(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT_SECONDS", 0.0)
    store = make_store(tmp_path / "run", storage=str(tmp_path / "storage"))
    (tmp_path / "storage").write_text("no folder")
    store.save(make_engine(job), 1)
    with pytest.raises(MachineError, match=r"storage/run/step-00000001.*cannot be written"):
        store.finish_copy()


def test_a_copy_without_its_index_does_not_count(job: TrainJob, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    store = make_store(tmp_path / "run", storage=str(storage))
    store.save(make_engine(job, steps=2), 2)
    store.finish_copy()
    (storage / "run/step-00000002" / INDEX).unlink()
    (tmp_path / "run").rename(tmp_path / "lost")
    assert make_store(tmp_path / "run", storage=str(storage)).restore(make_engine(job)) is None


def test_a_slow_copy_has_a_deadline_of_its_own(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound, deadlines = Watchdog._bound, dict[str, float]()

    @contextmanager
    def noted(self: Watchdog, what: str, seconds: float) -> Iterator[None]:
        deadlines["now"] = seconds
        with bound(self, what, seconds):
            yield

    waited: list[float] = []
    finish_copy = CheckpointStore.finish_copy

    def finish(self: CheckpointStore) -> None:
        if self.copying:
            waited.append(deadlines["now"])
        finish_copy(self)

    monkeypatch.setattr(Watchdog, "_bound", noted)
    monkeypatch.setattr(CheckpointStore, "finish_copy", finish)
    policy = CheckpointPolicy(every_steps=4, storage=str(tmp_path / "storage"))
    execution = job.execution.model_copy(update={"checkpoints": policy})
    copied = job.model_copy(update={"execution": execution})
    copied.work.mkdir(parents=True)
    loop.train_rank(OnlyRank(lambda metrics: None), copied.model_dump(mode="json"))
    events = read_events(copied.work / "events.jsonl")
    assert [row["step"] for row in events if row["event"] == "checkpoint-copied"] == [4, 8, 12]
    assert waited == [LONGEST_COPY.total_seconds()] * 3


def test_ranks_that_wait_for_a_copy_ask_again_and_again(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_store, "COPY_POLL_SECONDS", 0.01)
    store = make_store(tmp_path / "run", storage=str(tmp_path / "storage"))
    asked: list[bool] = []
    gather, upload = checkpoint_store._gathered, checkpoint_store.upload

    def gathered(mine: Any) -> list[Any]:
        asked.append(mine)
        return gather(mine)

    def slowly(file: Path, uri: str) -> None:
        while asked.count(False) < 3:
            time.sleep(0.001)
        upload(file, uri)

    monkeypatch.setattr(checkpoint_store, "_gathered", gathered)
    monkeypatch.setattr(checkpoint_store, "upload", slowly)
    store.save(make_engine(job), 2)
    store.finish_copy()
    assert (tmp_path / "storage/run/step-00000002" / INDEX).is_file()
