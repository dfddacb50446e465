"""Sizes by arithmetic are those of the models that are built."""

from __future__ import annotations

import pytest
import torch

from polylm_core.errors import TrainingError
from polylm_core.settings import TrainingExecution
from polylm_core.training.adapter import inject
from polylm_core.training.flops import flops_per_token
from polylm_core.training.job import LoraShape, ModelShape
from polylm_core.training.model import blocks, configuration_of, empty_model
from polylm_core.training.plan import Precision, Step, memory_of
from polylm_core.training.sizes import sizes_of
from tests.engines import ARCHITECTURES, make_shape

TARGETS = {"gpt2": ("c_attn", "c_proj"), "llama": ("q_proj", "v_proj", "down_proj")}


def built(shape: ModelShape, lora: LoraShape | None) -> torch.nn.Module:
    with torch.device("meta"):
        model = empty_model(configuration_of(shape))
        if lora is not None:
            inject(model, lora, seed=0)
    return model


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_has_the_name_and_shape_of_the_model_s(
    architecture: str, tied: bool, adapted: bool
) -> None:
    shape = make_shape(architecture, tied_embeddings=tied)
    lora = (
        LoraShape(rank=4, alpha=8, dropout=0.0, target_modules=TARGETS[architecture])
        if adapted
        else None
    )
    model, sizes = built(shape, lora), sizes_of(shape, lora=lora)
    named = dict(model.named_parameters())
    assert sizes.shapes == {name: tuple(value.shape) for name, value in named.items()}
    assert sizes.frozen == {name for name, value in named.items() if not value.requires_grad}
    first = blocks(model)[0]  # type: ignore[arg-type]
    assert sizes.block == sum(value.numel() for value in first.parameters())
    assert sizes.flops_per_token == flops_per_token(model, shape.context_tokens)  # type: ignore[arg-type]
    owned = [sum(p.numel() for p in part.parameters(recurse=False)) for part in model.modules()]
    assert sizes.largest_module == max(owned)


def test_a_target_that_is_no_matrix_is_refused() -> None:
    lora = LoraShape(rank=4, alpha=8, dropout=0.0, target_modules=("q_proj",))
    with pytest.raises(TrainingError, match="q_proj: no matrix of a gpt2's blocks"):
        sizes_of(make_shape("gpt2"), lora=lora)


def test_the_memory_of_a_rank_is_within_15_per_cent_of_what_was_measured() -> None:
    # Fine-tuning of SmolLM2-135M whole, on one rank with two cores, 4 rows of 256 tokens at once:
    # `peak_memory_bytes` of the last step in the run's throughput.jsonl (docs/log.md, 2026-11-22).
    shape = make_shape(
        "llama",
        num_layers=30,
        hidden_size=576,
        num_heads=9,
        num_kv_heads=3,
        intermediate_size=1536,
        context_tokens=256,
        vocab_size=49_152,
    )
    alone = TrainingExecution(backend="local", workers=1, sharding="none")
    precision = Precision("float32", "float32")
    planned = memory_of(sizes_of(shape), shape, Step(4, 1, 1), alone, precision)
    assert planned.peak == pytest.approx(4_053_344_256, rel=0.15)
