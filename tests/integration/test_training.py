"""Ray Train and ZeRO-3 for real: the same weights whoever dies on the way.

Each test runs two ranks on this machine; the runs are seconds long, the starts of Ray are most of
the time.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from polylm_core.compute.local import LocalBackend
from polylm_core.compute.on_ray import RayBackend
from polylm_core.compute.process import command_of
from polylm_core.errors import MachineError, TrainingError
from polylm_core.training.checkpoint import newest_first
from polylm_core.training.loss import LanguageModelLoss
from polylm_core.training.metrics import MetricsFile
from polylm_core.training.model import build_model
from polylm_core.training.order import build_order
from tests.training_job import QUIET_PEAK, make_job, train, weights

pytestmark = pytest.mark.timeout(900)
STEPS = 120
LOCAL = LocalBackend(map_workers=1, training_workers=2, threads_per_worker=1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of the run nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert max(reported_steps(start(folder))) == STEPS
    return weights(make_job(folder, steps=STEPS))


@pytest.fixture(autouse=True)
def _no_process_left(tmp_path: Path) -> Iterator[None]:
    yield
    wait_until(lambda: not processes_of(tmp_path), "a process of the test is still alive")


def start(folder: Path) -> subprocess.Popen[str]:
    """Start the run of a folder as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training_job", str(folder), str(STEPS)],
        stdout=subprocess.PIPE,
        text=True,
    )


def reported_steps(process: subprocess.Popen[str]) -> list[int]:
    """Wait for a run's good end; return the steps its ranks reported, in order."""
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    steps: list[int] = json.loads(output.splitlines()[-1])
    return steps


def wait_until(condition: Callable[[], object], message: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.1)


def processes_of(folder: Path) -> list[int]:
    """Pids whose command line names the folder."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if str(folder) in command_of(pid)]


def trainers(folder: Path) -> list[int]:
    """Pids that hold the locks of a run's ranks."""
    files = sorted((folder / "run").glob("trainer-*.lock"))
    return [int(file.read_text()) for file in files if file.read_text()]


def wait_for_checkpoint(folder: Path) -> None:
    """Wait until some steps are behind a checkpoint, and their reports are out."""

    def step() -> int:
        return max((step for step, _ in newest_first(folder / "run" / "checkpoints")), default=0)

    wait_until(lambda: step() >= 20, "no checkpoint of 20 steps was written")


def test_two_runs_give_the_same_bytes_and_a_falling_loss(undisturbed: str, tmp_path: Path) -> None:
    job = make_job(tmp_path, steps=STEPS, peak=QUIET_PEAK)
    assert train(job, LOCAL) == undisturbed
    rows = MetricsFile(job.work / "metrics.jsonl").read()
    losses = [row.value for row in rows if row.metric == "loss"]
    assert not (job.work / "skips.jsonl").exists()
    assert len(losses) == STEPS
    assert losses[-1] < losses[0]
    assert {row.language for row in rows if row.metric == "bits_per_byte"} == {
        "eng_Latn",
        "deu_Latn",
    }
    speeds = [
        json.loads(line)["tokens_per_second"]
        for line in (job.work / "throughput.jsonl").read_text().splitlines()
    ]
    assert len(speeds) == STEPS // 5
    assert min(speeds) > 0
    tensors = load_file(job.work / "export" / "model.safetensors")
    assert tensors["transformer.wte.weight"].shape == (64, 32)


def test_documents_kept_apart_have_the_losses_they_have_alone(tmp_path: Path) -> None:
    made = make_job(tmp_path, steps=2, attend_across_documents=False)
    assert made.new_model is not None
    shape = made.new_model.model_copy(update={"initializer_std": 0.5})  # attention matters
    job = made.model_copy(update={"new_model": shape, "matmul_precision": "highest"})
    train(job, LOCAL)
    rows = MetricsFile(job.work / "metrics.jsonl").read()
    first = next(row.value for row in rows if row.metric == "loss")
    before = next(row.value for row in rows if row.metric == "bits_per_byte")
    model = LanguageModelLoss(build_model(shape, seed=job.seed)).requires_grad_(False)
    batch = build_order(job.data, job.seed).batch(0)
    assert batch.segments_BT is not None
    total = 0.0
    for ids, targets, segments in zip(
        batch.ids_BT, batch.targets_BT, batch.segments_BT, strict=True
    ):
        for number in range(segments[-1] + 1):
            alone = [torch.from_numpy(array[segments == number])[None] for array in (ids, targets)]
            total += float(model(alone[0], alone[1].long()))
    size = batch.ids_BT.size
    assert first == pytest.approx(total / size, rel=1e-5)
    across = model(torch.from_numpy(batch.ids_BT), torch.from_numpy(batch.targets_BT).long())
    assert first != pytest.approx(float(across) / size, rel=1e-2)
    held_out = torch.from_numpy(np.load(tmp_path / "validation.npz")["ids"][:2])  # eng_Latn
    halves = [(held_out[:, :8], held_out[:, 1:9]), (held_out[:, 8:16], held_out[:, 9:])]
    bits = sum(float(model(*half)) for half in halves) / math.log(2)
    assert before == pytest.approx(bits / 32, rel=1e-5)


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_weights_are_the_same(
    undisturbed: str, tmp_path: Path
) -> None:
    process = start(tmp_path)
    wait_for_checkpoint(tmp_path)
    first = trainers(tmp_path)
    os.kill(first[1], signal.SIGKILL)
    steps = reported_steps(process)
    assert set(trainers(tmp_path)).isdisjoint(first)
    assert steps.count(min(steps)) == 1, f"trained from the start again: {steps}"
    assert weights(make_job(tmp_path, steps=STEPS)) == undisturbed


@pytest.mark.slow
def test_ranks_die_with_their_driver_and_the_next_run_goes_on(
    undisturbed: str, tmp_path: Path
) -> None:
    process = start(tmp_path)
    wait_for_checkpoint(tmp_path)
    ranks = trainers(tmp_path)
    process.kill()
    process.wait()
    wait_until(lambda: not any(command_of(pid) for pid in ranks), "a rank outlived its driver", 30)
    saved = max(step for step, _ in newest_first(tmp_path / "run" / "checkpoints"))
    assert 0 < saved < STEPS
    assert min(reported_steps(start(tmp_path))) > saved
    assert weights(make_job(tmp_path, steps=STEPS)) == undisturbed


@pytest.mark.slow
def test_an_error_that_a_restart_cannot_mend_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = {"new_model": None, "init_from": tmp_path / "nowhere"}
    job = make_job(tmp_path, steps=4).model_copy(update=lost)
    backend = RayBackend(
        address=None, training_workers=2, threads_per_worker=1, use_gpu=False, private_cpus=2
    )
    attempts: list[int] = []
    trainer = backend._trainer

    def counted(loop: dict[str, Any], work: Path, size: int) -> Any:
        attempts.append(size)
        return trainer(loop, work, size)

    monkeypatch.setattr(backend, "_trainer", counted)
    with pytest.raises(TrainingError, match=r"nowhere has no readable config\.json"):
        train(job, backend)
    assert attempts == [2]


def test_a_private_ray_without_a_gpu_says_so_at_once(tmp_path: Path) -> None:
    backend = RayBackend(
        address=None, training_workers=2, threads_per_worker=1, use_gpu=True, private_cpus=2
    )
    with pytest.raises(MachineError, match=r"2 ranks need CPU 2, GPU 2, .* has .* GPU 0"):
        train(make_job(tmp_path, steps=4), backend)
