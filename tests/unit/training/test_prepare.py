"""Recomputing and compiling change time and memory, not what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from polylm_core.training.engine import Engine
from polylm_core.training.model import blocks
from tests.engines import (
    ARCHITECTURES,
    do_step,
    make_engine,
    make_engine_job,
    make_shape,
    random_ids,
    state_of,
)

pytestmark = pytest.mark.usefixtures("only_rank")


def trained(engine: Engine, steps: int = 3) -> dict[str, torch.Tensor]:
    ids = random_ids()
    for _ in range(steps):
        do_step(engine, ids)
    return state_of(engine)


@pytest.mark.parametrize(
    ("architecture", "sharding", "precision"),
    [
        ("gpt2", "none", "float32"),
        ("gpt2", "zero3", "bfloat16"),
        ("llama", "none", "bfloat16"),
        ("llama", "zero3", "float32"),
    ],
)
def test_recomputed_activations_give_the_same_bits(
    architecture: str, sharding: str, precision: str, tmp_path: Path
) -> None:
    options: Any = {"sharding": sharding, "precision": precision}
    kept = make_engine(make_engine_job(tmp_path, architecture, **options))
    again = make_engine(
        make_engine_job(tmp_path, architecture, **options, recompute_activations=True)
    )
    computed: list[str] = []
    for engine, name in ((kept, "kept"), (again, "again")):
        for block in blocks(engine.model):
            parts = dict(block.named_modules())
            parts["mlp"].register_forward_pre_hook(lambda *_, name=name: computed.append(name))
    expected, found = trained(kept), trained(again)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    steps, layers = 3, 2
    assert computed.count("kept") == steps * layers
    assert computed.count("again") == 2 * steps * layers


@pytest.mark.slow  # compiling takes minutes on a busy machine
@pytest.mark.timeout(900)
@pytest.mark.parametrize("sharding", ["none", "zero3"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_compiled_blocks_train_alike_from_one_graph(
    architecture: str, sharding: str, tmp_path: Path
) -> None:
    options: Any = {"sharding": sharding, "new_model": make_shape(architecture, num_layers=10)}
    eager = make_engine(make_engine_job(tmp_path, architecture, **options))
    torch.compiler.reset()
    counters.clear()
    compiled = make_engine(make_engine_job(tmp_path, architecture, **options, compile=True))
    # Gradients: Adam makes a step of what is nothing but rounding, as a key's bias is moved by.
    expected, found = trained(eager, steps=1), trained(compiled, steps=1)
    for name, value in expected.items():
        if name.startswith("exp_avg "):
            assert torch.allclose(found[name], value, atol=1e-7), name
    assert counters["stats"]["unique_graphs"] == 1, "more than 8 and torch falls back"
    assert not counters["graph_break"]
