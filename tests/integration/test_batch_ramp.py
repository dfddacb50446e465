"""A run that begins with smaller steps, on two ZeRO-3 ranks and on one that holds everything."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from polylm_core.compute.local import LocalBackend
from polylm_core.training.job import CurriculumData, TrainJob
from polylm_core.training.metrics import MetricsFile
from tests.training_job import make_job, train

RAMP = ((8, 2), (8, 4))
"""Windows in all and of each step; the ranks have 1, 2 and then 8 windows a step."""
STEPS = 4 + 2 + 5
"""Of 96 windows: 8 in steps of 2, 8 in steps of 4, 80 in steps of 16."""


def ramped(folder: Path, sharding: Literal["zero3", "none"]) -> TrainJob:
    job = make_job(folder, steps=6, batch=16, sharding=sharding)
    assert isinstance(job.data, CurriculumData)
    changes = {
        "data": job.data.model_copy(update={"batch_ramp": RAMP}),
        "schedule": job.schedule.model_copy(update={"num_steps": STEPS}),
        "matmul_precision": "highest",
        "validate_every_steps": STEPS,
    }
    return job.model_copy(update=changes)


def losses(job: TrainJob, ranks: int) -> list[float]:
    train(job, LocalBackend(map_workers=1, training_workers=ranks, threads_per_worker=1))
    rows = MetricsFile(job.work / "metrics.jsonl").read()
    return [row.value for row in rows if row.metric == "loss"]


@pytest.mark.timeout(600)
def test_steps_of_a_ramp_accumulate_as_many_micro_batches_as_they_have(tmp_path: Path) -> None:
    sharded = losses(ramped(tmp_path / "sharded", "zero3"), 2)
    whole = losses(ramped(tmp_path / "whole", "none"), 1)
    assert len(sharded) == len(whole) == STEPS
    assert sharded == pytest.approx(whole, rel=1e-5)
    assert sharded[-1] < sharded[0]
