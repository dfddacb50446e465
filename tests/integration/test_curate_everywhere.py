"""The same shards everywhere: any number of workers, any order and cut of the input, Ray or local,
undisturbed or killed.

Real documents and pairs of five languages, with planted duplicates.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from polylm_core.artifacts import ShardSet
from polylm_core.compute.local import LocalBackend
from polylm_core.compute.on_ray import RayBackend
from polylm_core.compute.process import command_of
from tests.integration.curate_job import (
    LANGUAGES,
    STEPS,
    Watched,
    die_at_write,
    rows,
    run_job,
    write_input,
)
from tests.support import SequentialBackend

ROOT = Path(__file__).parents[2]
PARTS = 6
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """One process, one part after the other."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_input(folder, *rows(), parts=PARTS)
    return run_job(folder, SequentialBackend())


def files(shards: ShardSet) -> dict[str, str]:
    return {name: entry.sha256 for name, entry in shards.manifest.files.items()}


def test_the_input_meets_every_step(undisturbed: ShardSet) -> None:
    """Otherwise equal bytes would say little."""
    assert set(undisturbed.counts) == set(LANGUAGES)
    for language in LANGUAGES:
        counts = undisturbed.counts[language]
        assert counts["documents_kept"] >= 40, language
        assert counts["documents_held_out"] >= 1, language
    names = {name.split("/")[0] for name in files(undisturbed)}
    assert names >= {"documents", "pairs", "held_out", "drops", "attrition.parquet"}


def test_two_workers_a_shuffled_input_and_other_parts_change_no_byte(
    undisturbed: ShardSet, tmp_path: Path
) -> None:
    documents, pairs = rows()
    random.Random(3).shuffle(documents)
    random.Random(4).shuffle(pairs)
    write_input(tmp_path, documents, pairs, parts=PARTS + 5)
    backend = LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1)
    made = run_job(tmp_path, backend)
    assert files(made) == files(undisturbed)
    assert made.counts == undisturbed.counts


def finished(folder: Path) -> dict[str, tuple[int, int]]:
    """The markers of finished units, with what another writing would change of them."""
    found = (folder / "work").rglob("*.json")
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in found}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_stage_killed_in_each_of_its_steps_goes_on_where_it_was(
    undisturbed: ShardSet, tmp_path: Path, workers: int
) -> None:
    """One run after the other in the same folder, each killed one step later than the last."""
    write_input(tmp_path, *rows(), parts=PARTS)
    job = [sys.executable, "-m", "tests.integration.curate_job", str(tmp_path), str(workers)]
    before: dict[str, tuple[int, int]] = {}
    for step in STEPS:
        process = subprocess.run([*job, step], cwd=ROOT, capture_output=True, text=True)
        assert process.returncode == -signal.SIGKILL, (step, process.stderr)
        assert not (tmp_path / "02_shards").exists()
        after = finished(tmp_path)
        done_again = [name for name in before if after.get(name) != before[name]]
        assert done_again == [], step
        before = after
    assert {name.split("-")[0] for name in before} == {
        "english", "documents", "pairs", "decided", "index", "finished",
    }  # fmt: skip
    process = subprocess.run(job, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert files(ShardSet.load(tmp_path / "02_shards")) == files(undisturbed)
    assert not list((tmp_path / "work").iterdir())


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Two nodes of one processor each on this machine, on ports and in a folder of their own."""
    folder = tempfile.mkdtemp(prefix="polylm-ray-", dir="/tmp")  # a socket's path is short
    monkeypatch.setenv("RAY_TMPDIR", folder)  # else it is announced to every Ray of the machine
    nodes = Cluster()
    try:
        for _ in range(2):
            nodes.add_node(num_cpus=1, include_dashboard=False, object_store_memory=10**8)
        nodes.wait_for_nodes()
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()  # type: ignore[no-untyped-call]
        shutil.rmtree(folder, ignore_errors=True)
    deadline = time.monotonic() + 30
    while processes_naming(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_naming(folder) == []


def processes_naming(words: str) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if words in command_of(pid)]


@dataclass(frozen=True)
class LosesWorkerAndNode:
    """Kills a node in the middle of a unit of `prepare` that it does, and a worker in `finish`."""

    folder: Path
    node_id: str
    raylet_pid: int
    function: Callable[[Any], Any]

    def __call__(self, item: Any) -> Any:
        step = self.function.__name__
        flag = self.folder / f"killed-in-{step}"
        if step == "prepare" and not flag.exists():
            if ray.get_runtime_context().get_node_id() == self.node_id:
                flag.touch()
                die_at_write(20, self.raylet_pid)
            else:
                self._leave_it_to_the_other_node(flag)
        elif step == "finish" and not flag.exists():
            flag.touch()
            die_at_write(2, os.getpid())
        return self.function(item)

    def _leave_it_to_the_other_node(self, flag: Path) -> None:
        deadline = time.monotonic() + 120
        while not flag.exists() and time.monotonic() < deadline:
            time.sleep(0.05)


@pytest.mark.slow
def test_a_ray_cluster_that_loses_a_worker_and_a_node_makes_the_same_bytes(
    undisturbed: ShardSet, cluster: Cluster, tmp_path: Path
) -> None:
    write_input(tmp_path, *rows(), parts=PARTS)
    (node,) = cluster.worker_nodes
    raylet = node.all_processes["raylet"][0].process
    backend = RayBackend(
        address=cluster.address,
        training_workers=1,
        threads_per_worker=1,
        use_gpu=False,
        private_cpus=1,
    )
    losing = Watched(backend, partial(LosesWorkerAndNode, tmp_path, node.node_id, raylet.pid))
    made = run_job(tmp_path, losing)
    assert sorted(tmp_path.glob("killed-in-*")) == [
        tmp_path / "killed-in-finish",
        tmp_path / "killed-in-prepare",
    ]
    assert raylet.poll() == -signal.SIGKILL
    assert files(made) == files(undisturbed)
