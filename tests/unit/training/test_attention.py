"""Attention in blocks of positions is attention, wherever the blocks end."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.allocations import Allocations
from polylm_core.training.attention import NAME, CausalAttention
from polylm_core.training.batch import isolate
from tests.engines import ARCHITECTURES, make_engine, make_engine_job, random_ids
from tests.one_rank import one_rank

LENGTHS = (1, 5, 127, 128, 129, 200, 300)
SIZE = 16
Inputs = list[torch.Tensor]


def drawn(batch: int, length: int, *, heads: int = 3, dtype: torch.dtype = torch.float32) -> Inputs:
    """Queries, keys and values [B, N, T, D] and a gradient [B, T, N, D], as a model has them."""
    random = torch.Generator().manual_seed(length)
    shape = (batch, length, heads, SIZE)
    rows = [torch.randn(shape, generator=random).to(dtype) for _ in range(4)]
    return [*(row.transpose(1, 2) for row in rows[:3]), rows[3]]


def attended(inputs: Inputs, mask_B1TT: torch.Tensor | None = None) -> Inputs:
    """What comes out, and the gradients of what went in."""
    leaves = [value.detach().requires_grad_() for value in inputs[:3]]
    apply: Any = CausalAttention.apply
    output = apply(*leaves, SIZE**-0.5, mask_B1TT)
    return [output.detach(), *torch.autograd.grad(output, leaves, inputs[3])]


def reference(inputs: Inputs, mask_B1TT: torch.Tensor | None = None) -> Inputs:
    """The same in float64 from the definition."""
    query, key, value = (part.detach().double().requires_grad_() for part in inputs[:3])
    length = query.shape[2]
    seen = torch.ones(length, length, dtype=torch.bool).tril() if mask_B1TT is None else mask_B1TT
    scores = (query @ key.transpose(2, 3) * SIZE**-0.5).masked_fill(~seen, -torch.inf)
    output = (scores.softmax(-1) @ value).transpose(1, 2)
    gradients = torch.autograd.grad(output, (query, key, value), inputs[3].double())
    return [output.detach(), *gradients]


def largest_error(found: Inputs, expected: Inputs) -> float:
    pairs = zip(found, expected, strict=True)
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)


def kept_apart(batch: int, length: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    starts = torch.rand(batch, length, generator=random) < 0.05
    return isolate(starts.cumsum(1))[0]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("apart", [False, True])
def test_values_and_gradients_are_those_of_the_definition(length: int, apart: bool) -> None:
    inputs = drawn(2, length)
    mask = kept_apart(2, length) if apart else None
    assert largest_error(attended(inputs, mask), reference(inputs, mask)) < 2e-6


@pytest.mark.parametrize("length", [5, 129, 300])
@pytest.mark.parametrize("apart", [False, True])
def test_in_bfloat16_only_what_comes_out_and_what_is_summed_of_it_is_rounded(
    length: int, apart: bool
) -> None:
    inputs = drawn(2, length, dtype=torch.bfloat16)
    mask = kept_apart(2, length) if apart else None
    with torch.autocast("cpu", torch.bfloat16):
        found = attended(inputs, mask)
    assert {value.dtype for value in found} == {torch.bfloat16}
    expected = reference(inputs, mask)
    half_a_last_digit = 2**-8
    for one, other in zip(found[1:], expected[1:], strict=True):
        allowed = half_a_last_digit * 1.01 * other.abs() + 2e-6 * other.abs().max()
        assert bool(((one.double() - other).abs() <= allowed).all())
    # torch's forward pass rounds the probabilities too, before it sums values by them.
    assert largest_error(found[:1], expected[:1]) < 2 * half_a_last_digit


def test_scores_of_narrow_attention_keep_their_digits() -> None:
    query, key, value = (torch.zeros(1, 1, 2, SIZE).bfloat16() for _ in range(3))
    query[..., 1, :2] = torch.tensor([24.0, 0.5])
    key[..., 0, :2], key[..., 1, :2] = torch.tensor([50.0, 0.0]), torch.tensor([50.0, 6.0])
    value[..., 1, 0] = 1.0  # scores are 300 and 300.75; bfloat16 has 300 and 302
    with torch.autocast("cpu", torch.bfloat16):
        output = CausalAttention.apply(query, key, value, SIZE**-0.5, None)
    assert float(output[0, 1, 0, 0]) == pytest.approx(1 / (1 + math.exp(-0.75)), abs=2**-8)


def test_no_position_sees_a_later_one() -> None:
    inputs = drawn(1, 200)
    changed = [value.clone() for value in inputs]
    for value in changed[:3]:
        value[:, :, 150:] = 7
    before, after = attended(inputs)[0], attended(changed)[0]
    assert torch.equal(before[:, :150], after[:, :150])
    assert not torch.equal(before[:, 150:], after[:, 150:])


def test_a_second_run_gives_the_same_bits() -> None:
    inputs, mask = drawn(2, 300), kept_apart(2, 300)
    again = zip(attended(inputs, mask), attended(inputs, mask), strict=True)
    assert all(torch.equal(one, other) for one, other in again)


@pytest.mark.parametrize("length", [5, 129, 300])
def test_a_sequence_gets_the_same_bits_in_any_company(length: int) -> None:
    inputs = drawn(5, length)
    together = attended(inputs)
    for number in range(5):
        alone = attended([value[number : number + 1] for value in inputs])
        for one, other in zip(alone, together, strict=True):
            assert torch.equal(one[0], other[number])


def test_memory_grows_with_the_context_and_not_with_its_square() -> None:
    peaks = {}
    for length in (512, 2048):
        inputs = drawn(1, length, heads=2)
        with Allocations(inputs) as allocations:
            attended(inputs)
        peaks[length] = allocations.peak_bytes
    assert peaks[2048] < 4.1 * peaks[512]
    assert peaks[2048] < 2 * 2048**2 * torch.float32.itemsize / 2


@pytest.mark.parametrize("sharding", ["none", "zero3"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_on_a_processor_attends_so_and_predicts_as_before(
    architecture: str, sharding: str, tmp_path: Path
) -> None:
    options: Any = {"sharding": sharding}
    with one_rank(tmp_path):
        engine = make_engine(make_engine_job(tmp_path, architecture, **options))
        assert engine.model.config._attn_implementation == NAME
        ids = random_ids()[:, :-1].contiguous()
        engine.train(False)
        with torch.no_grad():
            ours = engine.logits(ids)
            engine.model.set_attn_implementation("sdpa")
            torchs = engine.logits(ids)
    assert float((ours - torchs).abs().max() / torchs.abs().max()) < 1e-5
