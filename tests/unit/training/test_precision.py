"""Every tensor of a step is in the precision that was asked for, under either engine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from polylm_core.training import loss
from polylm_core.training.attention import CausalAttention
from polylm_core.training.engine import Engine
from polylm_core.training.model import blocks
from tests.engines import ARCHITECTURES, do_step, make_engine, make_engine_job, random_ids

Sharding = Literal["zero3", "none"]
SHARDINGS: tuple[Sharding, ...] = ("none", "zero3")

pytestmark = pytest.mark.usefixtures("only_rank")


def engine_of(folder: Path, architecture: str, sharding: Sharding, **changes: Any) -> Engine:
    return make_engine(make_engine_job(folder, architecture, sharding=sharding, **changes))


def seen(engine: Engine) -> dict[str, set[torch.dtype]]:
    """What flows in a step, by where."""
    found: dict[str, set[torch.dtype]] = {}

    def note(where: str, value: torch.Tensor) -> None:
        found.setdefault(where, set()).add(value.dtype)

    def watch_products(_: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        note("products in", inputs[0])
        note("products out", output)

    for block in blocks(engine.model):
        block.register_forward_hook(lambda _, inputs, output: note("residual in", inputs[0]))
        block.register_forward_hook(lambda _, inputs, output: note("residual out", output))
        for part in block.modules():
            if type(part).__name__ in ("Linear", "Conv1D"):
                part.register_forward_hook(watch_products)
    projected = loss.summed_loss

    def watched_loss(hidden: torch.Tensor, weight: torch.Tensor, targets: Any) -> torch.Tensor:
        note("projection", hidden)
        note("projection", weight)
        return projected(hidden, weight, targets)

    def watched(attention: Any) -> Any:
        def attend(*inputs: Any, **named: Any) -> torch.Tensor:
            output: torch.Tensor = attention(*inputs, **named)
            note("attention", output)  # autocast narrows what comes in behind this call
            return output

        return attend

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss, "summed_loss", watched_loss)
        for owner, name in (
            (torch.nn.functional, "scaled_dot_product_attention"),
            (CausalAttention, "apply"),
        ):
            patch.setattr(owner, name, watched(getattr(owner, name)))
        do_step(engine, random_ids())
    return found


@pytest.mark.parametrize("sharding", SHARDINGS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_in_bfloat16_products_are_narrow_and_the_residual_stream_is_float32(
    architecture: str, sharding: Sharding, tmp_path: Path
) -> None:
    engine = engine_of(tmp_path, architecture, sharding, precision="bfloat16")
    narrow, wide = {torch.bfloat16}, {torch.float32}
    assert seen(engine) == {
        "residual in": wide,
        "residual out": wide,
        "products in": narrow,
        "products out": narrow,
        "attention": narrow,
        "projection": narrow,
    }


@pytest.mark.parametrize(("architecture", "sharding"), [("gpt2", "none"), ("llama", "zero3")])
def test_the_residual_stream_is_narrow_where_it_was_asked_to_be(
    architecture: str, sharding: Sharding, tmp_path: Path
) -> None:
    narrow = {"precision": "bfloat16", "residual_precision": "bfloat16"}
    found = seen(engine_of(tmp_path, architecture, sharding, **narrow))
    assert set.union(*found.values()) == {torch.bfloat16}


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_in_float32_everything_is(sharding: Sharding, tmp_path: Path) -> None:
    found = seen(engine_of(tmp_path, "gpt2", sharding))
    assert set.union(*found.values()) == {torch.float32}


@pytest.mark.parametrize(
    ("architecture", "sharding", "residual"),
    [
        ("gpt2", "none", "float32"),
        ("gpt2", "zero3", "float32"),
        ("gpt2", "zero3", "bfloat16"),
        ("llama", "zero3", "float32"),
    ],
)
def test_the_loss_falls_and_state_is_float32_in_bfloat16(
    architecture: str, sharding: Sharding, residual: str, tmp_path: Path
) -> None:
    precise = engine_of(tmp_path, architecture, "none")
    engine = engine_of(
        tmp_path, architecture, sharding, precision="bfloat16", residual_precision=residual
    )
    ids = random_ids()
    losses = [do_step(engine, ids) for _ in range(6)]
    assert losses == pytest.approx([do_step(precise, ids) for _ in range(6)], abs=0.02)
    assert losses[-1] < losses[0] - 1
    for part, state in engine.parts():
        assert {tensor.dtype for tensor in state.values()} == {torch.float32}, part
    # Weights that a narrower copy is computed with are not that copy.
    _, state = next(iter(engine.parts()))
    assert not torch.equal(state["weight"], state["weight"].bfloat16().float())


def test_gradients_are_summed_over_micro_batches_in_float32(tmp_path: Path) -> None:
    job = make_engine_job(tmp_path, precision="bfloat16")
    from polylm_core.training.sharded import ShardedEngine

    engine = ShardedEngine(job, micro_batch=1, steps=4)
    ids = random_ids()
    for row in range(4):
        one = ids[row : row + 1]
        total = engine.losses(one[:, :-1].contiguous(), one[:, 1:].contiguous())
        engine.backward(total / 64, last=row == 3)
    optimizer = engine._engine.optimizer
    gradients = [value for group in optimizer.averaged_gradients.values() for value in group]
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    narrowed = [torch.equal(each, each.bfloat16().float()) for each in gradients]
    assert not all(narrowed), "a sum of four bfloat16 gradients has more digits than one"


def test_the_scores_and_the_softmax_of_narrow_attention_are_float32() -> None:
    query, keys, values = (torch.zeros(1, 1, rows, 64).bfloat16() for rows in (1, 2, 2))
    query[..., :2] = torch.tensor([48.0, 1.0])
    keys[..., 0, :2], keys[..., 1, :2] = torch.tensor([50.0, 0.0]), torch.tensor([50.0, 6.0])
    values[..., 1, 0] = 1.0
    scores = (query.float() @ keys.float().mT) / 8
    assert scores.flatten().tolist() == [300.0, 300.75]
    assert scores.bfloat16().flatten().tolist() == [300.0, 300.0]  # next to it is 302
    attended = float(scaled_dot_product_attention(query, keys, values)[..., 0])
    assert attended == pytest.approx(1 / (1 + math.exp(-0.75)), abs=2**-8)  # and not a half
