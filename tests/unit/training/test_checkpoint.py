"""Only a whole checkpoint counts, and any number of ranks can read it."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from polylm_core.errors import TrainingError
from polylm_core.sealed import sealed, unsealed
from polylm_core.settings import CheckpointPolicy
from polylm_core.training import checkpoint
from polylm_core.training.checkpoint import INDEX, CheckpointReader, read_index
from polylm_core.training.checkpoint_store import CheckpointStore
from polylm_core.training.engine import Part
from polylm_core.training.events import Events, read_events
from polylm_core.training.job import TrainJob
from polylm_core.training.model import build_model
from polylm_core.training.shares import share
from polylm_core.training.whole import WholeEngine

pytestmark = pytest.mark.usefixtures("only_rank")


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
    one = read_index(tmp_path / "one/checkpoints/step-00000002")
    assert one is not None
    assert len(one.sha256) == 3
    assert one == read_index(tmp_path / "other/checkpoints/step-00000002")


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
    store.save(make_engine(job, steps=4), 4)
    index = store.folder / "step-00000004" / INDEX
    for content in ("", "{", "[]", json.dumps({"step": 4})):
        index.write_text(content)
        assert read_index(index.parent) is None
    assert store.restore(make_engine(job)) == 2


def test_the_newest_and_the_multiples_are_kept(job: TrainJob, tmp_path: Path) -> None:
    store = make_store(tmp_path / "run", keep_last=2, keep_every_steps=4)
    for step in range(1, 8):
        store.save(make_engine(job), step)
    kept = sorted(int(folder.name[5:]) for folder in store.folder.glob("step-*"))
    assert kept == [4, 6, 7]


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
    index = unsealed((folders[1] / INDEX).read_bytes())  # as its writer would declare it
    index["sha256"][weights.name] = hashlib.sha256(canary).hexdigest()
    (folders[1] / INDEX).write_bytes(sealed(index))
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
