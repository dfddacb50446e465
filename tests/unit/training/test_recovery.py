"""Steps that would harm the model are left out, written down, and left out again by a rerun."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polylm_core.document_map import DocumentsWriter
from polylm_core.errors import TrainingError
from polylm_core.token_files import TokenFileWriter
from polylm_core.training import loop
from polylm_core.training.events import read_events
from polylm_core.training.guard import GuardOptions
from polylm_core.training.job import CurriculumData, TrainJob
from polylm_core.training.metrics import MetricsFile
from polylm_core.training.skips import Skip, Skips
from polylm_core.training.step import Gauge, StepGradient
from polylm_core.training.throughput import Throughput
from polylm_core.training.trace import Trace
from tests.one_rank import OnlyRank
from tests.training_job import CONTEXT, STREAMS, VOCAB, make_job, weights

STEPS = 90

pytestmark = pytest.mark.usefixtures("only_rank")


def make_run(folder: Path, *, steps: int = STEPS, **changes: object) -> TrainJob:
    """A job on text that repeats itself, with one document that does not."""
    job = make_job(folder, steps=steps, checkpoint_every_steps=10, sharding="none")
    random = np.random.default_rng(3)
    for name in STREAMS:
        stem = folder / "tokens" / name
        ids = np.tile(np.arange(4, 12), 2_000 // 8)
        if name == "eng_Latn":  # document 100 of 200
            ids[1_000:1_016] = random.integers(20, VOCAB, 16)
        sizes = np.full(200, 10)
        with TokenFileWriter(stem, vocab_size=VOCAB) as writer:
            writer.add_batch(ids, sizes)
        with DocumentsWriter(stem) as documents:
            documents.add([f"source/{name}/{number}" for number in range(200)], sizes)
    return job.model_copy(update=changes)


def train(job: TrainJob) -> str:
    job.work.mkdir(parents=True, exist_ok=True)
    loop.train_rank(OnlyRank(lambda metrics: None), job.model_dump(mode="json"))
    return weights(job)


def skips_of(job: TrainJob) -> list[dict[str, object]]:
    file = job.work / "skips.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def plant(monkeypatch: pytest.MonkeyPatch, losses: Mapping[int, float]) -> list[int]:
    """Let the loss of steps, counted from 1, be another; return the steps that are tried."""
    tried: list[int] = []
    compute = StepGradient.__call__

    def planted(self: StepGradient, step: int) -> Gauge:
        gauge = compute(self, step)
        tried.append(step + 1)
        return replace(gauge, loss=losses.get(step + 1, gauge.loss))

    monkeypatch.setattr(StepGradient, "__call__", planted)
    return tried


def test_a_clean_run_leaves_nothing_out(tmp_path: Path) -> None:
    job = make_job(tmp_path, steps=STEPS, sharding="none")
    train(job)
    assert skips_of(job) == []
    assert len([row for row in MetricsFile(job.work / "metrics.jsonl").read()]) > STEPS


def test_the_clock_of_the_speed_stops_only_where_something_else_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[int] = []
    pause = Throughput.pause

    def counted(self: Throughput) -> None:
        stops.append(1)
        pause(self)

    monkeypatch.setattr(Throughput, "pause", counted)
    job = make_job(tmp_path, steps=40, checkpoint_every_steps=10, sharding="none")
    train(job)
    assert len(stops) == 1 + 4  # the start, and four checkpoints, the last with a validation


def test_a_poisoned_window_is_left_out_in_its_step_with_its_documents(tmp_path: Path) -> None:
    job = make_run(tmp_path)
    train(job)
    assert isinstance(job.data, CurriculumData)
    trace = Trace(job.data, job.seed, tokens=tmp_path / "tokens")
    poisoned = {
        step
        for step in range(1, STEPS + 1)
        for sight in trace.step(step)
        if sight.document.id == "source/eng_Latn/100" and sight.tokens > 5
    }
    after_history = {step for step in poisoned if step > job.guard.min_history_steps}
    assert after_history, "the document comes too early for this test; choose another"
    found = skips_of(job)
    assert {skip["first_step"] for skip in found} == after_history
    for skip in found:
        assert skip["first_step"] == skip["last_step"]
        assert isinstance(skip["documents"], dict)
        assert "source/eng_Latn/100" in skip["documents"]
        assert isinstance(skip["languages"], dict)
        assert sum(skip["languages"].values()) == 4 * CONTEXT
    measured = {row.step for row in MetricsFile(job.work / "metrics.jsonl").read()}
    assert measured.isdisjoint(after_history - {STEPS})


def test_no_number_is_no_update_and_a_rerun_with_the_list_gives_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = GuardOptions(loss_z=1e6, gradient_z=1e6)
    with monkeypatch.context() as planted:
        plant(planted, {33: math.nan, 57: math.inf})
        found = make_run(tmp_path / "found", guard=quiet)
        sha256 = train(found)
    assert [skip["first_step"] for skip in skips_of(found)] == [33, 57]
    events = read_events(found.work / "events.jsonl")
    assert [row["step"] for row in events if row["event"] == "steps-left-out"] == [33, 57]
    with monkeypatch.context() as watched:
        tried = plant(watched, {})
        told = make_run(tmp_path / "told", guard=quiet, skip_steps=((33, 33), (57, 57)))
        assert train(told) == sha256
        assert not {33, 57} & set(tried)
    assert train(make_run(tmp_path / "clean", guard=quiet)) != sha256


def test_a_row_of_anomalies_goes_back_to_a_checkpoint_and_leaves_the_windows_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = GuardOptions(loss_z=1e6, gradient_z=1e6, rollback_after_steps=3)
    with monkeypatch.context() as planted:
        tried = plant(planted, {46: math.nan, 47: math.nan, 48: math.nan})
        job = make_run(tmp_path / "found", guard=quiet)
        sha256 = train(job)
    assert tried[45:49] == [46, 47, 48, 49]
    last = skips_of(job)[-1]
    assert (last["checkpoint"], last["first_step"], last["last_step"]) == (40, 41, 48)
    starts = [
        row["step"] for row in read_events(job.work / "events.jsonl") if row["event"] == "start"
    ]
    assert starts == [0, 40]
    measured = {row.step for row in MetricsFile(job.work / "metrics.jsonl").read()}
    assert measured.isdisjoint(range(41, 49))
    told = make_run(tmp_path / "told", guard=quiet, skip_steps=((41, 48),))
    assert train(told) == sha256


def test_nothing_is_saved_where_a_run_went_back_and_what_was_replaces_nothing_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = GuardOptions(loss_z=1e6, gradient_z=1e6, rollback_after_steps=15)
    plant(monkeypatch, dict.fromkeys(range(42, 57), math.nan))
    job = make_run(tmp_path, guard=quiet, steps=70)
    policy = job.execution.checkpoints.model_copy(update={"keep_last": 3})
    execution = job.execution.model_copy(update={"checkpoints": policy})
    train(job.model_copy(update={"execution": execution}))
    assert skips_of(job)[-1]["checkpoint"] == 40
    events = read_events(job.work / "events.jsonl")
    back = [row["event"] for row in events].index("start", 1)
    saved = [row["step"] for row in events[back:] if row["event"] == "checkpoint"]
    assert saved == [60, 70]
    assert sorted(path.name for path in (job.work / "checkpoints").glob("step-*")) == [
        "step-00000040",
        "step-00000050",  # void: saved before the run went back, between anomalies
        "step-00000060",
        "step-00000070",
    ]


def test_a_run_that_cannot_go_back_keeps_no_damaged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = GuardOptions(loss_z=1e6, gradient_z=1e6, rollback_after_steps=3)
    plant(monkeypatch, dict.fromkeys((46, 47, 48), math.nan))
    job = make_run(tmp_path, guard=quiet)

    def lose(self: Skips, *others: object, **named: Any) -> Skip:
        skip = respond(self, *others, **named)
        if skip.checkpoint is not None:
            for file in job.work.glob("checkpoints/*/weight-*.safetensors"):
                file.write_bytes(b"")
        return skip

    respond = Skips.respond
    monkeypatch.setattr(Skips, "respond", lose)
    with pytest.raises(TrainingError, match=r"no checkpoint in .* can be gone on from \(step 40: "):
        train(job)
    measured = (job.work / "metrics.jsonl").read_bytes()
    with pytest.raises(TrainingError, match=r"delete .*/checkpoints to train anew"):
        train(job)
    assert (job.work / "metrics.jsonl").read_bytes() == measured != b""


def test_a_run_that_goes_on_from_a_checkpoint_judges_as_one_that_was_not_disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = make_run(tmp_path / "undisturbed")
    sha256 = train(undisturbed)
    job = make_run(tmp_path / "stopped")
    with monkeypatch.context() as stopping:
        compute = StepGradient.__call__

        def stop(self: StepGradient, step: int) -> Gauge:
            if step == 77:
                raise KeyboardInterrupt
            return compute(self, step)

        stopping.setattr(StepGradient, "__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            train(job)
    assert train(job) == sha256
    assert skips_of(job) == skips_of(undisturbed)
    assert (job.work / "metrics.jsonl").read_bytes() == (
        undisturbed.work / "metrics.jsonl"
    ).read_bytes()


def test_too_many_steps_to_leave_out_end_the_run_with_what_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, {20: math.nan, 40: math.nan, 60: math.nan})
    job = make_run(tmp_path, guard=GuardOptions(loss_z=1e6, gradient_z=1e6, max_skipped_steps=2))
    with pytest.raises(TrainingError, match=r"loss of step 60 is nan.*3 steps would be left out"):
        train(job)
