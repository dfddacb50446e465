"""ZeRO-3 on one rank: the state wherever it is kept, steps that are dropped, checkpoints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from polylm_core.errors import MachineError
from polylm_core.settings import CheckpointPolicy
from polylm_core.training.checkpoint_store import CheckpointStore
from polylm_core.training.deepspeed_options import require_nvme
from polylm_core.training.engine import Engine
from polylm_core.training.events import Events
from tests.engines import (
    do_step,
    make_engine,
    make_engine_job,
    make_shape,
    random_ids,
    state_of,
)

OFFLOADS = [
    {},
    {"offload_optimizer": "cpu"},
    {"offload_optimizer": "cpu", "offload_parameters": "cpu"},
]

pytestmark = pytest.mark.usefixtures("only_rank")


def same(one: Engine, other: Engine) -> bool:
    left, right = state_of(one), state_of(other)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize("offload", OFFLOADS[1:])
def test_offloaded_state_trains_the_same(offload: dict[str, Any], tmp_path: Path) -> None:
    kept = make_engine(make_engine_job(tmp_path))
    away = make_engine(make_engine_job(tmp_path, **offload))
    ids = random_ids()
    losses = [(do_step(kept, ids), do_step(away, ids)) for _ in range(4)]
    assert all(one == pytest.approx(other, rel=1e-6) for one, other in losses)
    assert losses[-1][0] < losses[0][0]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("offload", OFFLOADS)
def test_a_checkpoint_goes_on_the_same(
    offload: dict[str, Any], precision: str, tmp_path: Path
) -> None:
    job = make_engine_job(tmp_path, precision=precision, **offload)
    ids = random_ids()
    trained = make_engine(job)
    for _ in range(3):
        do_step(trained, ids)
    restored = make_engine(job)
    pass_on(trained, restored, tmp_path / "run")
    assert same(trained, restored)
    assert do_step(trained, ids) == do_step(restored, ids)
    assert same(trained, restored)


def pass_on(trained: Engine, other: Engine, folder: Path) -> None:
    """Save one engine's state, and restore it in the other."""
    folder.mkdir()
    events = Events(folder / "events.jsonl", writes=True)
    store = CheckpointStore(folder, CheckpointPolicy(), events)
    store.save(trained, 3)
    assert store.restore(other) == 3


@pytest.mark.parametrize("offload", OFFLOADS)
def test_a_dropped_step_leaves_no_trace(offload: dict[str, Any], tmp_path: Path) -> None:
    engine, twin = (make_engine(make_engine_job(tmp_path, **offload)) for _ in range(2))
    ids, harmful = random_ids(), random_ids(2)
    for each in (engine, twin):
        do_step(each, ids)
    targets = harmful[:, 1:].contiguous()
    engine.backward(engine.losses(harmful[:, :-1].contiguous(), targets), last=True)
    engine.drop()
    assert same(engine, twin)
    for each in (engine, twin):
        do_step(each, ids)
    assert same(engine, twin)


@pytest.mark.slow  # DeepSpeed compiles its reader first
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("parameters", ["none", "nvme"])
def test_state_on_a_disk_trains_and_goes_on_the_same(
    parameters: str, architecture: str, tmp_path: Path
) -> None:
    # Less than a megabyte stays in memory.
    shape = make_shape(architecture, hidden_size=256, vocab_size=8192)
    away: dict[str, Any] = {"offload_optimizer": "nvme", "offload_parameters": parameters}
    job = make_engine_job(tmp_path, new_model=shape, nvme_folder=str(tmp_path / "nvme"), **away)
    try:
        require_nvme(job)
    except MachineError as error:
        pytest.skip(str(error))
    ids = random_ids()
    kept = make_engine(make_engine_job(tmp_path, new_model=shape))
    trained, restored = make_engine(job), make_engine(make_engine_job(tmp_path, new_model=shape))
    for _ in range(3):
        assert do_step(trained, ids) == pytest.approx(do_step(kept, ids), rel=1e-6)
    assert list((tmp_path / "nvme").rglob("*.swp"))
    pass_on(trained, restored, tmp_path / "run")
    assert same(trained, restored)
    assert do_step(trained, ids) == pytest.approx(do_step(restored, ids), rel=1e-6)


def test_ranks_compute_on_what_their_profile_says_where_there_is_a_gpu(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from polylm_core.training import loop
from tests.engines import make_engine_job
from tests.one_rank import one_rank

folder = Path({str(tmp_path / "rank")!r})
with one_rank(folder):
    print(loop._engine(make_engine_job(folder), micro_batch=4, steps=1).device.type)
"""
    found = {"DS_ACCELERATOR": "cuda"}  # as DeepSpeed finds it on such a machine
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **found},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "cpu"
