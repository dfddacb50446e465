"""From zero: machines come because a run asks, are lost, and go when there is nothing to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cluster_demo import CEILING_DIFFERENCE, laptop_run
from benchmarks.engine.cluster_run import watching
from benchmarks.engine.from_zero import from_zero
from benchmarks.engine.machines import processes_naming
from benchmarks.engine.timeline import Timeline
from polylm_core.errors import PolyLMError
from polylm_core.training.events import read_events
from tests.clone import ROOT, Clone, make_clone
from tests.paced_rank import STOP

EVERY = 10


def demonstrated(finished: Path, *options: str, seconds: float) -> dict[str, Any]:
    """Run the demonstration to its good end and return its result."""
    command = [sys.executable, "-m", "benchmarks.cluster_demo", "--finished", str(finished)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DO_NOT_TRACK": "1"}
    done = subprocess.run(
        [*command, *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert result["missed"] == []
    assert processes_naming("polylm-cluster-demo-") == []
    return result


@pytest.mark.timeout(1200)  # it may wait for the pipeline to be run
def test_machines_come_one_is_lost_and_the_run_goes_on_with_another(clone: Clone) -> None:
    result = demonstrated(clone.path, "--quick", seconds=560)
    assert [start["world_size"] for start in result["starts"]] == [2, 2]
    assert result["machines_brought_up"] >= 3
    assert result["greatest_difference"] == 0
    assert result["same_artifact"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_goes_on_with_the_machine_that_is_left(clone: Clone) -> None:
    result = demonstrated(clone.path, "--quick", "--fewer", seconds=560)
    assert [start["world_size"] for start in result["starts"]][:2] == [2, 1]
    assert 0 < result["greatest_difference"] <= CEILING_DIFFERENCE


@pytest.mark.slow
@pytest.mark.timeout(4000)
def test_the_default_recipe_on_a_cluster_is_that_of_the_laptop(tmp_path: Path) -> None:
    result = demonstrated(finished_default(tmp_path), "--quick", seconds=1800)
    assert result["steps"] == 1408
    assert result["same_artifact"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_notice_costs_no_step_and_another_machine_is_brought_up(tmp_path: Path) -> None:
    timeline = Timeline()
    with (
        from_zero(most=3, idle_seconds=600) as cluster,
        watching(cluster, timeline) as watch,
    ):
        environment = {**cluster.environment, "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1"}
        command = [sys.executable, "-m", "tests.autoscaled_job", str(tmp_path), str(EVERY)]
        job = subprocess.Popen(
            [*command, cluster.address],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:

            def wait_for(condition: Callable[[], bool], what: str) -> None:
                deadline = time.monotonic() + 300
                while not condition():
                    watch.take()
                    assert job.poll() is None, job.communicate()[0]
                    assert time.monotonic() < deadline, f"no {what}"
                    time.sleep(0.1)

            wait_for(lambda: "checkpoint" in kinds(tmp_path), "checkpoint")
            cluster.give_notice(sorted(watch.machines)[-1], 120)
            wait_for(lambda: len(starts(tmp_path)) > 1, "start of other ranks")
            wait_for(lambda: starts(tmp_path)[-1]["world_size"] == 2, "two ranks again")
            wait_for(lambda: len(watch.came) == 3, "third machine")
            (tmp_path / "run" / STOP).touch()
            said, _ = job.communicate(timeout=120)
        finally:
            job.kill()
            job.wait()
    assert "a machine is leaving" in said
    assert [row["steps_again"] for row in starts(tmp_path)] == [0] * len(starts(tmp_path))


def finished_default(folder: Path) -> Path:
    """This checkout where its pretraining has ended, else a copy in which it is run."""
    try:
        laptop_run(ROOT)
        return ROOT
    except PolyLMError:
        clone = make_clone(folder / "default", recipe=ROOT / "params.yaml", whole_sources=True)
    process = clone.start(sys.executable, "-m", "dvc", "repro", "pretrain")
    try:
        output, _ = process.communicate(timeout=2000)
    finally:
        clone.stop()
    assert process.returncode == 0, output
    return clone.path


def kinds(folder: Path) -> list[str]:
    return [row["event"] for row in read_events(folder / "run/events.jsonl")]


def starts(folder: Path) -> list[dict[str, Any]]:
    rows = read_events(folder / "run/events.jsonl")
    return [row for row in rows if row["event"] == "start"]
