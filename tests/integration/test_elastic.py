"""Machines come and go, and the run goes on with as many ranks as there are machines for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks import elastic
from benchmarks.engine.machines import Machines, machines
from polylm_core.compute.on_ray import RayBackend
from polylm_core.compute.ray_machines import Patience
from polylm_core.errors import MachineError, StageError
from polylm_core.training.events import read_events
from tests.paced_rank import STOP
from tests.training_job import make_job

pytestmark = pytest.mark.timeout(1200)
EVERY = 10


@pytest.fixture(scope="module")
def cluster() -> Iterator[Machines]:
    with machines(2) as found:
        yield found


def backend(cluster: Machines, patience: Patience, *, use_gpu: bool = False) -> RayBackend:
    return RayBackend(
        address=cluster.address,
        training_workers=2,
        threads_per_worker=1,
        use_gpu=use_gpu,
        private_cpus=2,
        patience=patience,
    )


def test_a_cluster_without_gpus_is_waited_for_visibly_and_not_for_ever(
    cluster: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polylm_core.compute.ray_machines.NOTE_SECONDS", 1.0)
    notes: list[str] = []
    waits = backend(cluster, Patience(full_size_seconds=0, machines_seconds=8), use_gpu=True)
    with pytest.raises(MachineError, match=r"2 ranks need CPU 2, GPU 2, .* GPU 0 .* after \d+ s"):
        launch(waits, tmp_path, sizes=[2], on_note=notes.append)
    assert notes
    assert all("waiting for machines: 2 ranks need CPU 2, GPU 2" in note for note in notes)


@pytest.mark.slow
def test_a_run_loses_no_step_to_a_notice_and_grows_again(
    cluster: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S", "1")
    patience = Patience(full_size_seconds=0, machines_seconds=600)
    notes: list[str] = []
    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(
            launch, backend(cluster, patience), tmp_path, sizes=[1, 2], on_note=notes.append
        )
        try:
            wait_for(run, lambda: 2 < last_step(tmp_path), "steps of two ranks")
            cluster.give_notice(cluster.others[0], 120)
            wait_for(run, lambda: sizes(tmp_path) == [2, 1], "a start with one rank")
            wait_for(run, lambda: last_step(tmp_path) > starts(tmp_path)[-1]["step"], "steps of it")
            cluster.kill(cluster.others[0])
            cluster.add()
            wait_for(run, lambda: sizes(tmp_path) == [2, 1, 2], "a start with two ranks again")
            wait_for(run, lambda: last_step(tmp_path) > starts(tmp_path)[-1]["step"] + 2, "steps")
            cluster.kill(cluster.others[0])
            wait_for(run, lambda: sizes(tmp_path) == [2, 1, 2, 1], "a start with the rank left")
        finally:
            (tmp_path / "run" / STOP).touch()
        with pytest.raises(StageError, match="seen enough"):
            run.result()
    _, alone, grown, lost = starts(tmp_path)
    assert [told(tmp_path, kind) for kind in ("machine-leaving", "regroup")] == [
        [alone["step"]],
        [alone["step"], grown["step"]],
    ]
    assert {alone["step"], grown["step"], lost["step"]} <= set(told(tmp_path, "checkpoint"))
    assert alone["steps_again"] == grown["steps_again"] == 0
    assert grown["step"] % EVERY == lost["step"] % EVERY == 0
    assert 2 <= lost["steps_again"] <= EVERY
    assert "the 2 ranks begin again: a machine is leaving" in notes
    assert "the 1 ranks begin again: there are machines for more" in notes


@pytest.mark.slow
def test_two_ranks_one_three_and_two_again_train_like_two(tmp_path: Path) -> None:
    result = elastic.compare(tmp_path, steps=4)
    assert elastic.shortfalls(result) == []
    assert [phase["steps_again"] for phase in result["phases"]] == [0, 0, 0, 0]
    assert result["greatest_difference"] > 0, "another order of adding gives other last bits"


def launch(
    ray: RayBackend, folder: Path, *, sizes: list[int], on_note: Callable[[str], None]
) -> None:
    job = make_job(folder, steps=100_000, checkpoint_every_steps=EVERY)
    job.work.mkdir(parents=True, exist_ok=True)
    ray.launch(
        "tests.paced_rank:train_rank",
        job.model_dump(mode="json"),
        work=job.work,
        sizes=sizes,
        on_report=lambda _: None,
        on_note=on_note,
    )


def wait_for(run: Future[None], condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        if run.done():
            run.result()
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.1)


def events(folder: Path) -> list[dict[str, Any]]:
    return read_events(folder / "run/events.jsonl")


def starts(folder: Path) -> list[dict[str, Any]]:
    return [row for row in events(folder) if row["event"] == "start"]


def sizes(folder: Path) -> list[int]:
    return [row["world_size"] for row in starts(folder)]


def told(folder: Path, kind: str) -> list[int]:
    return [row["step"] for row in events(folder) if row["event"] == kind]


def last_step(folder: Path) -> int:
    file = folder / "run/metrics.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return int(elastic.MetricsFile(file).read()[-1].step) if lines else 0
