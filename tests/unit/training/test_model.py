"""Models from params and from folders: shapes, sizes, and refusals that name every difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from polylm_core.errors import TrainingError
from polylm_core.params import load_params
from polylm_core.training.job import ModelShape, TrainJob
from polylm_core.training.model import (
    blocks,
    build,
    build_model,
    configuration,
    configuration_of,
    empty_model,
)
from tests.architecture.closure import ROOT
from tests.engines import ARCHITECTURES, LLAMA, make_engine_job, make_shape


def count(shape: ModelShape) -> int:
    with torch.device("meta"):
        return sum(value.numel() for value in empty_model(configuration_of(shape)).parameters())


@pytest.mark.parametrize(
    ("recipe", "layers", "hidden", "heads", "parameters"),
    [("polylm-1.7b", 24, 2048, 16, 1_737_084_928), ("polylm-13b", 40, 5120, 40, 13_906_790_400)],
)
def test_the_recipes_are_the_published_shapes_and_sizes(
    recipe: str, layers: int, hidden: int, heads: int, parameters: int
) -> None:
    params = load_params(ROOT / f"recipes/{recipe}.yaml")
    model = params.pretrain.model
    assert (model.num_layers, model.hidden_size, model.num_heads) == (layers, hidden, heads)
    assert (params.vocab.vocab_size, model.context_tokens) == (256_000, 2_048)
    ids = {"bos_id": 1, "eos_id": 2, "pad_id": 3}
    shape = ModelShape(**model.model_dump(), vocab_size=256_000, **ids)
    block = 12 * hidden**2 + 13 * hidden
    assert parameters == (256_000 + 2_048) * hidden + layers * block + 2 * hidden
    assert count(shape) == parameters


def test_llama_has_the_size_of_its_paper() -> None:
    seven_billion = make_shape(
        "llama",
        num_layers=32,
        hidden_size=4096,
        num_heads=32,
        num_kv_heads=32,
        intermediate_size=11008,
        vocab_size=32000,
        context_tokens=2048,
        tied_embeddings=False,
    )
    assert count(seven_billion) == 6_738_415_616  # Touvron et al. 2023: 6.7 billion
    grouped = seven_billion.model_copy(update={"num_kv_heads": 8, "tied_embeddings": True})
    saved = 32 * 2 * 4096 * (4096 - 1024) + 32000 * 4096
    assert count(grouped) == 6_738_415_616 - saved


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equal_seeds_give_equal_models_whatever_was_drawn_before(architecture: str) -> None:
    shape = make_shape(architecture)
    first = build_model(shape, seed=1).state_dict()
    torch.rand(7)
    second, other = build_model(shape, seed=1).state_dict(), build_model(shape, seed=2).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("architecture", "block"), [("gpt2", "GPT2Block"), ("llama", "LlamaDecoderLayer")]
)
def test_blocks_are_the_decoder_layers_in_order(architecture: str, block: str) -> None:
    model: Any = build_model(make_shape(architecture), seed=1)
    found = blocks(model)
    assert [type(each).__name__ for each in found] == [block, block]
    layers = model.transformer.h if architecture == "gpt2" else model.model.layers
    assert list(layers) == found


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_embeddings_are_tied_as_stated(architecture: str, tied: bool) -> None:
    model: Any = build_model(make_shape(architecture, tied_embeddings=tied), seed=1)
    same = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert same == tied


def saved(folder: Path, architecture: str = "gpt2", **changes: Any) -> Path:
    """A Hugging Face folder with a model of this shape, as `transformers` writes it."""
    build_model(make_shape(architecture, **changes), seed=4).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_folder_of_either_architecture_is_loaded_as_it_is(
    architecture: str, tied: bool, tmp_path: Path
) -> None:
    folder = saved(tmp_path / "base", architecture, tied_embeddings=tied)
    model = build(make_engine_job(tmp_path, init_from=folder, new_model=None))
    expected = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert type(model) is type(expected)
    found = model.state_dict()
    assert found.keys() == expected.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in expected.state_dict().items())
    ids_BT = torch.arange(4, 14)[None]
    assert torch.equal(model(ids_BT).logits, expected.eval()(ids_BT).logits)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_goes_on_with_a_larger_vocabulary(architecture: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "base", architecture, tied_embeddings=False)
    shape = make_shape(architecture, vocab_size=70, tied_embeddings=False)
    model: Any = build(make_engine_job(tmp_path, init_from=folder, new_model=shape))
    old: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for grown, before in (
        (model.get_input_embeddings().weight, old.get_input_embeddings().weight),
        (model.get_output_embeddings().weight, old.get_output_embeddings().weight),
    ):
        assert torch.equal(grown[:64], before)
        assert torch.allclose(grown[64:], before.mean(0).expand(6, -1), atol=1e-7)
    assert model.config.vocab_size == 70
    ids_BT = torch.arange(4, 14)[None]
    assert torch.allclose(model(ids_BT).logits[..., :64], old.eval()(ids_BT).logits, atol=1e-5)


def job_on(folder: Path, architecture: str = "gpt2", **changes: Any) -> TrainJob:
    shape = make_shape(architecture, **changes)
    return make_engine_job(folder.parent, init_from=folder, new_model=shape)


def test_every_difference_to_the_folder_is_told_at_once(tmp_path: Path) -> None:
    folder = saved(tmp_path / "base", "llama")
    job = job_on(folder, "llama", num_heads=4, rope_theta=5e5, context_tokens=32)
    with pytest.raises(TrainingError) as caught:
        configuration(job)
    told = str(caught.value)
    assert "num_heads is 2 there and 4 in the params" in told
    assert "rope_theta is 10000.0 there and 500000.0 in the params" in told
    assert "its context is 16, below the params' 32" in told


def test_another_architecture_in_the_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="architecture is gpt2 there and llama in the params"):
        configuration(job_on(saved(tmp_path / "base"), "llama"))


def test_a_folder_without_a_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    with pytest.raises(TrainingError, match=r"base has no readable config\.json"):
        configuration(job_on(tmp_path / "base"))


def test_dropout_of_a_folder_is_left_out(tmp_path: Path) -> None:
    config = GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=64, n_positions=16)
    assert config.resid_pdrop == 0.1
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
    model = build(job_on(tmp_path / "base")).train()
    ids_BT = torch.arange(4, 14)[None]
    assert torch.equal(model(ids_BT).logits, model(ids_BT).logits)


def test_a_shorter_context_than_the_folder_allows_is_accepted(tmp_path: Path) -> None:
    folder = saved(tmp_path / "base", "llama")
    assert configuration(job_on(folder, "llama", context_tokens=8)).max_position_embeddings == 16


def test_llama_shapes_reach_transformers(tmp_path: Path) -> None:
    model = build_model(make_shape("llama"), seed=1)
    assert isinstance(model, LlamaForCausalLM)
    assert model.config.rope_parameters["rope_theta"] == LLAMA["rope_theta"]
    assert model.config.rms_norm_eps == LLAMA["rms_norm_epsilon"]
    assert model.config.num_key_value_heads == 1
    wavelengths = dict(model.named_buffers())["model.rotary_emb.inv_freq"]
    assert wavelengths.tolist() == pytest.approx([10_000 ** -(i / 8) for i in range(8)])
