"""Only a whole checkpoint counts, and any number of ranks can read it."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from polylm_core import remote_folder
from polylm_core.errors import MachineError, TrainingError
from polylm_core.settings import CheckpointPolicy
from polylm_core.training import checkpoint
from polylm_core.training.checkpoint import INDEX, CheckpointReader, read_index
from polylm_core.training.checkpoint_store import MAX_FAILED_COPIES, CheckpointStore
from polylm_core.training.engine import Part, share
from polylm_core.training.events import Events, read_events
from polylm_core.training.job import TrainJob
from polylm_core.training.model import build_model
from polylm_core.training.whole import WholeEngine
from tests.one_rank import one_rank
from tests.training_job import make_job


@pytest.fixture(autouse=True)
def _one_rank(tmp_path: Path) -> Iterator[None]:
    with one_rank(tmp_path):
        yield


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    return make_job(tmp_path / "job", sharding="none")


def make_engine(job: TrainJob, *, steps: int = 0) -> WholeEngine:
    """An engine that has done some steps on random ids."""
    assert job.new_model is not None
    engine = WholeEngine(build_model(job.new_model, seed=job.seed), job)
    random = torch.Generator().manual_seed(1)
    for _ in range(steps):
        ids_BT = torch.randint(4, 64, (2, 16), generator=random)
        engine.backward(engine.losses(ids_BT, ids_BT), last=True)
        engine.update(1e-2, float(engine.gradient_square().sqrt()))
    return engine


def make_store(folder: Path, **policy: object) -> CheckpointStore:
    folder.mkdir(parents=True, exist_ok=True)
    events = Events(folder / "events.jsonl", writes=True)
    return CheckpointStore(folder, CheckpointPolicy.model_validate(policy), events)


def state_of(engine: WholeEngine) -> dict[str, torch.Tensor]:
    return {
        f"{kind} {part.name}": tensor.clone()
        for part, state in engine.parts()
        for kind, tensor in state.items()
    }


def assert_same(one: WholeEngine, other: WholeEngine) -> None:
    left, right = state_of(one), state_of(other)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert one.updates == other.updates


def test_what_is_restored_is_what_was_saved_and_goes_on_the_same(
    job: TrainJob, tmp_path: Path
) -> None:
    trained = make_engine(job, steps=3)
    make_store(tmp_path / "run").save(trained, 3)
    restored = make_engine(job)
    assert make_store(tmp_path / "run").restore(restored) == 3
    assert_same(trained, restored)
    ids_BT = torch.arange(4, 20)[None]
    for engine in (trained, restored):
        engine.backward(engine.losses(ids_BT, ids_BT), last=True)
        engine.update(1e-2, 0.1)
    assert_same(trained, restored)


def test_equal_states_are_equal_files(job: TrainJob, tmp_path: Path) -> None:
    for name in ("one", "other"):
        make_store(tmp_path / name).save(make_engine(job, steps=2), 2)
    indexes = [read_index(tmp_path / name / "checkpoints/step-00000002") for name in ("one",)]
    other = read_index(tmp_path / "other/checkpoints/step-00000002")
    assert indexes[0] == other
    assert other is not None
    assert len(other.sha256) == 3


def test_no_checkpoint_restores_nothing(job: TrainJob, tmp_path: Path) -> None:
    assert make_store(tmp_path / "run").restore(make_engine(job)) is None


@pytest.mark.parametrize("kind", ["weight", "exp_avg", "exp_avg_sq"])
@pytest.mark.parametrize("harm", ["flipped", "cut", "missing"])
def test_a_damaged_file_falls_back_to_the_checkpoint_before(
    job: TrainJob, tmp_path: Path, kind: str, harm: str
) -> None:
    store = make_store(tmp_path / "run")
    before = make_engine(job, steps=2)
    store.save(before, 2)
    store.save(make_engine(job, steps=4), 4)
    file = tmp_path / f"run/checkpoints/step-00000004/{kind}-00000.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(content if harm == "flipped" else content[:-9])
    restored = make_engine(job)
    assert store.restore(restored) == 2
    assert_same(before, restored)
    damaged = [
        row for row in read_events(tmp_path / "run/events.jsonl") if "damaged" in row["event"]
    ]
    assert [row["step"] for row in damaged] == [4]


def test_a_checkpoint_cut_short_before_its_index_does_not_count(
    job: TrainJob, tmp_path: Path
) -> None:
    store = make_store(tmp_path / "run")
    store.save(make_engine(job, steps=2), 2)
    checkpoint.write_parts(make_engine(job, steps=4), store.folder / "step-00000004")
    assert store.restore(make_engine(job)) == 2
    store.save(make_engine(job, steps=6), 6)
    assert not (store.folder / "step-00000004").exists()


def test_an_index_of_nonsense_does_not_count(job: TrainJob, tmp_path: Path) -> None:
    store = make_store(tmp_path / "run")
    store.save(make_engine(job, steps=2), 2)
    index = store.folder / "step-00000002" / INDEX
    for content in ("", "{", "[]", json.dumps({"step": 2})):
        index.write_text(content)
        assert read_index(index.parent) is None
    assert store.restore(make_engine(job)) is None


def test_the_newest_and_the_multiples_are_kept(job: TrainJob, tmp_path: Path) -> None:
    store = make_store(tmp_path / "run", keep_last=2, keep_every_steps=4)
    for step in range(1, 8):
        store.save(make_engine(job), step)
    kept = sorted(int(folder.name[5:]) for folder in store.folder.glob("step-*"))
    assert kept == [4, 6, 7]


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


def test_any_number_of_ranks_reads_its_part_of_what_another_number_wrote(
    job: TrainJob, tmp_path: Path
) -> None:
    engine = make_engine(job, steps=2)
    index = checkpoint.save(engine, tmp_path, 2)
    whole = CheckpointReader(checkpoint.folder_of(tmp_path, 2), index)
    for name, shape in index.shapes.items():
        numel = int(torch.Size(shape).numel())
        full = whole.read("exp_avg", Part(name, shape, 0, numel))
        for world in (2, 3, 5):
            pieces = [
                whole.read("exp_avg", Part(name, shape, *share(numel, rank, world)))
                for rank in range(world)
            ]
            assert torch.equal(torch.cat(pieces), full)


class _Canary:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.file,)


def test_nothing_is_unpickled_from_a_folder_of_somebody_else(job: TrainJob, tmp_path: Path) -> None:
    sung = tmp_path / "sung"
    canary = pickle.dumps(_Canary(sung))
    store = make_store(tmp_path / "run", keep_last=3)
    for step in (1, 2, 3):
        store.save(make_engine(job), step)
    folders = [checkpoint.folder_of(store.folder, step) for step in (1, 2, 3)]
    for file in folders[2].iterdir():
        file.write_bytes(canary)
    for name in ("latest", "mp_rank_00_model_states.pt", "optimizer.pkl"):
        (folders[1] / name).write_bytes(canary)
    weights = folders[1] / "weight-00000.safetensors"
    weights.write_bytes(canary)
    index = json.loads((folders[1] / INDEX).read_text())  # as its writer would declare it
    index["sha256"][weights.name] = hashlib.sha256(canary).hexdigest()
    (folders[1] / INDEX).write_text(json.dumps(index))
    with pytest.raises(TrainingError, match=r"weight-00000.safetensors is no safetensors file"):
        make_store(tmp_path / "run").restore(make_engine(job))
    shutil.rmtree(folders[1])
    assert make_store(tmp_path / "run").restore(make_engine(job)) == 1
    assert not sung.exists()
    pickle.loads(canary)
    assert sung.exists(), "the canary sings"


def test_a_checkpoint_of_another_model_is_refused_by_its_shapes(
    job: TrainJob, tmp_path: Path
) -> None:
    store = make_store(tmp_path / "run")
    store.save(make_engine(job, steps=2), 2)
    assert job.new_model is not None
    wider = job.new_model.model_copy(update={"hidden_size": 64})
    with pytest.raises(TrainingError, match=r"another model: transformer.wte.weight is \(64, 32\)"):
        store.restore(make_engine(job.model_copy(update={"new_model": wider})))


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
    monkeypatch.setattr(remote_folder, "FIRST_WAIT_SECONDS", 0.0)
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
    monkeypatch.setattr(remote_folder, "FIRST_WAIT_SECONDS", 0.0)
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


def test_weights_for_export_are_checked(job: TrainJob, tmp_path: Path) -> None:
    store = make_store(tmp_path / "run")
    engine = make_engine(job, steps=2)
    store.save(engine, 2)
    found = dict(store.weights(2))
    for part, state in engine.parts():
        assert torch.equal(found[part.name].view(-1), state["weight"])
    file = store.folder / "step-00000002/weight-00000.safetensors"
    assert load_file(file).keys() == found.keys()
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(TrainingError, match="not as it was written"):
        dict(store.weights(2))
