"""What a model computes for a token, and what GPUs can."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from polylm_core.training import flops
from polylm_core.training.job import ModelShape
from polylm_core.training.model import build_model, configuration_of, empty_model
from tests.engines import ARCHITECTURES, CONTEXT, make_shape

POLYLM_1_7B = ModelShape(
    num_layers=24,
    hidden_size=2048,
    num_heads=16,
    context_tokens=2048,
    vocab_size=256_000,
    initializer_std=0.006,
    bos_id=1,
    eos_id=2,
    pad_id=3,
)


def on_meta(shape: ModelShape) -> int:
    """The operations a token of a model without memory."""
    with torch.device("meta"):
        model = empty_model(configuration_of(shape))
    return flops.flops_per_token(model, shape.context_tokens)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("tied", [True, False])
def test_matrix_products_and_attention_are_counted_as_torch_counts_them(
    architecture: str, tied: bool
) -> None:
    shape = make_shape(architecture, tied_embeddings=tied)
    model = build_model(shape, seed=1)
    model.set_attn_implementation("eager")  # whose products torch sees one by one
    ids = torch.zeros((1, CONTEXT), dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids).logits.sum().backward()
    all_pairs = 6 * shape.num_layers * shape.hidden_size * CONTEXT  # torch counts masked ones too
    assert counter.get_total_flops() == CONTEXT * (on_meta(shape) + all_pairs)


def test_the_1_7b_has_an_mfu_of_55_per_cent_at_49_500_tokens_a_second_on_an_h200(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        torch,
        "cuda",
        SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "NVIDIA H200"),
    )
    with torch.device("meta"):
        model = empty_model(configuration_of(POLYLM_1_7B))
    one = flops.peak_tokens_per_second(model, 2048, world_size=1)
    assert one is not None
    assert 49_500 / one == pytest.approx(0.55, abs=0.0005)
    assert flops.peak_tokens_per_second(model, 2048, world_size=8) == 8 * one


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H200", 989.5),
        ("NVIDIA H200 NVL", 835.5),
        ("NVIDIA H100 80GB HBM3", 989.5),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA GH200 480GB", 989.5),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA L40S", 362),
        ("NVIDIA L4", 121),
    ],
)
def test_gpus_are_known_by_the_names_that_cuda_has_for_them(name: str, teraflops: float) -> None:
    assert flops.peak_flops(name) == teraflops * 1e12


@pytest.mark.parametrize(
    "name", ["NVIDIA H200 MIG 3g.71gb", "NVIDIA A100X", "Tesla T4", "NVIDIA GeForce GTX 1080"]
)
def test_a_gpu_that_is_not_known_or_not_whole_has_no_peak(name: str) -> None:
    assert flops.peak_flops(name) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_cpu_has_no_peak() -> None:
    assert flops.peak_tokens_per_second(build_model(make_shape(), seed=1), 16, world_size=1) is None
