"""Two ZeRO-3 ranks that meet no number, and one that hangs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polylm_core.compute.local import LocalBackend
from polylm_core.training.events import read_events
from polylm_core.training.job import TrainJob
from polylm_core.training.watchdog import stacks
from tests import faulty_rank
from tests.training_job import make_job, train, weights

pytestmark = pytest.mark.timeout(900)
STEPS = 24
LOCAL = LocalBackend(map_workers=1, training_workers=2, threads_per_worker=1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of the run without faults."""
    return train(make_job(tmp_path_factory.mktemp("undisturbed"), steps=STEPS), LOCAL)


def launch(job: TrainJob) -> str:
    LOCAL.launch(
        faulty_rank.WORKER,
        job.model_dump(mode="json"),
        work=job.work,
        sizes=[2],
        on_report=lambda metrics: None,
        on_note=lambda note: None,
    )
    return weights(job)


def uneven_job(folder: Path) -> TrainJob:
    """A job whose parameters two ranks cannot share evenly: the last rank's share is filled up."""
    job = make_job(folder, steps=STEPS)
    assert job.new_model is not None
    odd = {"vocab_size": 65, "hidden_size": 33, "num_heads": 3}
    return job.model_copy(update={"new_model": job.new_model.model_copy(update=odd)})


@pytest.mark.slow
def test_a_sharded_run_drops_a_step_and_a_rerun_told_of_it_has_the_same_weights(
    tmp_path: Path,
) -> None:
    found = uneven_job(tmp_path / "found")
    faulty_rank.plant(found.work, nan_at=(7, 13))
    sha256 = launch(found)
    skips = [json.loads(line) for line in (found.work / "skips.jsonl").read_text().splitlines()]
    assert [skip["first_step"] for skip in skips] == [7, 13]
    told = uneven_job(tmp_path / "told")
    told = told.model_copy(update={"skip_steps": ((7, 7), (13, 13))})
    assert train(told, LOCAL) == sha256


def test_a_rank_that_hangs_leaves_the_stacks_of_all_and_the_run_goes_on_the_same(
    undisturbed: str, tmp_path: Path
) -> None:
    job = make_job(tmp_path / "hung", steps=STEPS)
    deadline = job.execution.model_copy(update={"step_deadline_seconds": 8.0})
    job = job.model_copy(update={"execution": deadline})
    faulty_rank.plant(job.work, hang_once_at=11)
    assert launch(job) == undisturbed
    written = {path.name: path.read_text() for path in stacks(job.work / "stacks")}
    assert set(written) == {"rank-0.1.txt", "rank-1.1.txt"}
    assert "step 11 is over its deadline" in written["rank-1.1.txt"]
    assert "faulty_rank.py" in written["rank-1.1.txt"]
    assert "polylm_core/training/step.py" in written["rank-0.1.txt"]
    starts = [
        row["step"] for row in read_events(job.work / "events.jsonl") if row["event"] == "start"
    ]
    assert starts == [0, 8]
