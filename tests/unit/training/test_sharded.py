"""ZeRO-3 on one rank: the state wherever it is kept, steps that are dropped, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from polylm_core.settings import CheckpointPolicy
from polylm_core.training.checkpoint_store import CheckpointStore
from polylm_core.training.engine import Engine
from polylm_core.training.events import Events
from tests.engines import do_step, make_engine, make_engine_job, one_rank, random_ids, state_of

OFFLOADS = [
    {},
    {"offload_optimizer": "cpu"},
    {"offload_optimizer": "cpu", "offload_parameters": "cpu"},
]


@pytest.fixture(autouse=True)
def _one_rank(tmp_path: Path) -> Iterator[None]:
    with one_rank(tmp_path):
        yield


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
    (tmp_path / "run").mkdir()
    events = Events(tmp_path / "run/events.jsonl", writes=True)
    store = CheckpointStore(tmp_path / "run", CheckpointPolicy(), events)
    store.save(trained, 3)
    restored = make_engine(job)
    assert store.restore(restored) == 3
    assert same(trained, restored)
    assert do_step(trained, ids) == do_step(restored, ids)
    assert same(trained, restored)


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
