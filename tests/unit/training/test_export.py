"""A Hugging Face folder out of weights that come one at a time."""

from __future__ import annotations

import json
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from polylm_core.errors import TrainingError
from polylm_core.storage import sha256_file
from polylm_core.training.export import write_model
from tests.exported import make_model, make_tokenizer

SHARD_BYTES = 20_000


class Watched:
    """Weights of a model, one at a time, and the most bytes of them that were ever alive."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._alive: dict[int, int] = {}
        self.peak_bytes = 0
        self.largest_bytes = 0

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        for number, (name, parameter) in enumerate(self._model.named_parameters()):
            tensor = parameter.detach().clone()
            self._alive[number] = tensor.nbytes
            weakref.finalize(tensor, self._alive.pop, number)
            self.largest_bytes = max(self.largest_bytes, tensor.nbytes)
            self.peak_bytes = max(self.peak_bytes, sum(self._alive.values()))
            yield name, tensor
            del tensor


@pytest.fixture
def model() -> PreTrainedModel:
    return make_model(make_tokenizer())


def write(
    model: PreTrainedModel, folder: Path, *, max_shard_bytes: int = 1 << 30
) -> dict[str, str]:
    """Export a model; return the sha256 of each file."""
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    weights = ((name, value.detach()) for name, value in model.named_parameters())
    write_model(model.config, shapes, weights, folder, max_shard_bytes=max_shard_bytes)
    return {file.name: sha256_file(file) for file in folder.iterdir()}


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("max_shard_bytes", [1 << 30, SHARD_BYTES])
def test_transformers_loads_exactly_what_was_written(
    kind: str, max_shard_bytes: int, tmp_path: Path
) -> None:
    trained = make_model(make_tokenizer(), kind)
    write(trained, tmp_path / "export", max_shard_bytes=max_shard_bytes)
    loaded, info = AutoModelForCausalLM.from_pretrained(
        tmp_path / "export", output_loading_info=True, local_files_only=True
    )
    assert not any(info.values())
    assert type(loaded) is type(trained)
    found = dict(loaded.named_parameters())
    assert found.keys() == dict(trained.named_parameters()).keys()
    assert all(torch.equal(found[name], value) for name, value in trained.named_parameters())
    assert loaded.config.use_cache is True
    assert trained.config.use_cache is False
    settings = loaded.generation_config
    assert (settings.bos_token_id, settings.eos_token_id, settings.pad_token_id) == (1, 2, 3)


def test_a_small_model_is_one_file_and_a_large_one_is_files_with_an_index(
    model: PreTrainedModel, tmp_path: Path
) -> None:
    small = write(model, tmp_path / "small")
    assert small.keys() == {"config.json", "generation_config.json", "model.safetensors"}
    large = write(model, tmp_path / "large", max_shard_bytes=SHARD_BYTES)
    shards = sorted(name for name in large if name.endswith(".safetensors"))
    assert len(shards) > 2
    assert shards[0] == f"model-00001-of-{len(shards):05d}.safetensors"
    index = json.loads((tmp_path / "large/model.safetensors.index.json").read_text())
    held = {name: shard for shard in shards for name in load_file(tmp_path / "large" / shard)}
    assert index["weight_map"] == held
    parameters = sum(value.numel() for value in model.parameters())
    assert index["metadata"]["total_size"] == 4 * parameters


def test_tied_weights_are_written_once(model: PreTrainedModel, tmp_path: Path) -> None:
    write(model, tmp_path)
    names = load_file(tmp_path / "model.safetensors").keys()
    assert "transformer.wte.weight" in names
    assert "lm_head.weight" not in names


def test_no_more_than_a_shard_and_a_parameter_is_ever_held(
    model: PreTrainedModel, tmp_path: Path
) -> None:
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    whole = sum(value.nbytes for value in model.parameters())
    in_one, in_shards = Watched(model), Watched(model)
    write_model(model.config, shapes, in_one, tmp_path / "one")
    write_model(model.config, shapes, in_shards, tmp_path / "many", max_shard_bytes=SHARD_BYTES)
    assert in_one.peak_bytes == whole
    assert in_shards.peak_bytes <= SHARD_BYTES + in_shards.largest_bytes < 0.6 * whole


def test_equal_weights_are_equal_bytes_that_everyone_may_read(
    model: PreTrainedModel, tmp_path: Path
) -> None:
    one = write(model, tmp_path / "one", max_shard_bytes=SHARD_BYTES)
    other = write(model, tmp_path / "elsewhere/other", max_shard_bytes=SHARD_BYTES)
    assert one == other
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "one").iterdir()}
    assert modes == {0o644}


def test_what_an_export_cut_short_left_is_gone(model: PreTrainedModel, tmp_path: Path) -> None:
    write(model, tmp_path / "export", max_shard_bytes=SHARD_BYTES)
    assert write(model, tmp_path / "export") == write(model, tmp_path / "fresh")


def test_parameters_that_transformers_would_not_expect_are_refused_by_name(
    model: PreTrainedModel, tmp_path: Path
) -> None:
    model.transformer.wpe = torch.nn.Embedding(7, 32)
    with pytest.raises(
        TrainingError, match=r"1 parameters .*GPT2LMHeadModel: transformer.wpe.weight is \(7, 32\)"
    ):
        write(model, tmp_path)


def test_weights_that_end_early_are_refused(model: PreTrainedModel, tmp_path: Path) -> None:
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    weights = [(name, value.detach()) for name, value in model.named_parameters()][:-1]
    with pytest.raises(TrainingError, match=r"model.safetensors are not all there"):
        write_model(model.config, shapes, weights, tmp_path)
