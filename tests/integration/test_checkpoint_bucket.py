"""Checkpoints in a bucket: a run whose folder is lost goes on from them, past one that is damaged.

The server is a real one with S3's interface, on the loopback address; the ranks are real too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs

from benchmarks.elastic import train_part
from polylm_core.training.events import read_events
from polylm_core.training.job import TrainJob
from tests.bucket import KEYS, serve_bucket
from tests.training_job import make_job, weights

pytestmark = pytest.mark.timeout(900)
STEPS, EVERY = 16, 4
STORED = "training/checkpoints/run"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3fs.S3FileSystem]:
    patch = pytest.MonkeyPatch()
    files = {"training/empty": b""}
    with serve_bucket(tmp_path_factory.mktemp("weed"), files) as url:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)  # the ranks inherit it
        try:
            yield s3fs.S3FileSystem(
                endpoint_url=url,
                key=KEYS["AWS_ACCESS_KEY_ID"],
                secret=KEYS["AWS_SECRET_ACCESS_KEY"],
                use_listings_cache=False,
                skip_instance_cache=True,
            )
        finally:
            patch.undo()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """Weights and metrics of the run whose folder is never lost, and which copies nothing."""
    job = job_in(tmp_path_factory.mktemp("undisturbed"), storage=None)
    train_part(job, 2, None)
    return weights(job), metrics(job)


def job_in(folder: Path, *, storage: str | None = "s3://training/checkpoints") -> TrainJob:
    job = make_job(folder, steps=STEPS, checkpoint_every_steps=EVERY)
    policy = job.execution.checkpoints.model_copy(update={"storage": storage})
    execution = job.execution.model_copy(update={"checkpoints": policy})
    return job.model_copy(update={"execution": execution})


def metrics(job: TrainJob) -> bytes:
    return (job.work / "metrics.jsonl").read_bytes()


def events(job: TrainJob, kind: str) -> list[dict[str, Any]]:
    return [row for row in read_events(job.work / "events.jsonl") if row["event"] == kind]


def test_a_lost_folder_is_gone_on_from_out_of_the_bucket_past_a_damaged_copy(
    bucket: s3fs.S3FileSystem, undisturbed: tuple[str, bytes], tmp_path: Path
) -> None:
    job = job_in(tmp_path)
    train_part(job, 2, 10)  # saved after 4, 8 and, told to go, 10 steps
    kept = {name.split("/")[-2] for name in bucket.find(STORED) if "/step-" in name}
    assert kept == {"step-00000008", "step-00000010"}
    cut = f"{STORED}/step-00000010/exp_avg-00001.safetensors"
    bucket.pipe_file(cut, bucket.cat_file(cut)[:-100])
    shutil.rmtree(job.work)

    train_part(job, 2, None)
    assert [row["step"] for row in events(job, "checkpoint-damaged")] == [10]
    assert [(row["step"], row["steps_again"]) for row in events(job, "start")] == [(0, 0), (8, 2)]
    assert [row["step"] for row in events(job, "checkpoint-copied")][-2:] == [12, 16]
    assert (weights(job), metrics(job)) == undisturbed
