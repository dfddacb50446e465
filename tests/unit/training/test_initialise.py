"""Values by parts: the same whatever the parts, and those of a folder as they are there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from polylm_core.errors import TrainingError
from polylm_core.training.engine import Part
from polylm_core.training.initialise import (
    DRAWN_TOGETHER,
    FolderValues,
    Values,
    initial_state,
    random_values,
)
from polylm_core.training.shares import share

MATRIX = "transformer.h.0.attn.c_attn.weight"
DRAWN = random_values(seed=3, std=0.02, num_layers=8)


def whole(values: Values, name: str, *shape: int) -> torch.Tensor:
    return values(Part(name, shape, 0, math.prod(shape))).view(shape)


@pytest.mark.parametrize("world", [2, 3, 7])
def test_parts_of_any_number_of_ranks_are_the_whole(world: int) -> None:
    shape = (5, DRAWN_TOGETHER // 2 - 3)  # a few generators, the last not full
    numel = math.prod(shape)
    parts = [DRAWN(Part(MATRIX, shape, *share(numel, rank, world))) for rank in range(world)]
    assert torch.equal(torch.cat(parts).view(shape), whole(DRAWN, MATRIX, *shape))


def test_seed_and_name_decide_the_values() -> None:
    first = whole(DRAWN, MATRIX, 64, 64)
    assert torch.equal(first, whole(DRAWN, MATRIX, 64, 64))
    other_seed = random_values(seed=4, std=0.02, num_layers=8)
    assert not torch.equal(first, whole(other_seed, MATRIX, 64, 64))
    assert not torch.equal(first, whole(DRAWN, MATRIX.replace("0", "1"), 64, 64))


@pytest.mark.parametrize(
    ("name", "std"),
    [
        (MATRIX, 0.02),
        ("model.embed_tokens.weight", 0.02),
        ("transformer.h.0.mlp.c_proj.weight", 0.02 / 4),
        ("model.layers.3.self_attn.o_proj.weight", 0.02 / 4),
        ("model.layers.3.mlp.down_proj.weight", 0.02 / 4),
    ],
)
def test_matrices_are_normal_and_narrower_where_they_add_to_the_residual(
    name: str, std: float
) -> None:
    drawn = whole(DRAWN, name, 500, 400)
    assert float(drawn.std()) == pytest.approx(std, rel=0.01)
    assert abs(float(drawn.mean())) < 4 * std / math.sqrt(drawn.numel())
    assert float((drawn.abs() < std).float().mean()) == pytest.approx(0.6827, abs=0.005)


def test_biases_are_zero_and_gains_one() -> None:
    assert torch.equal(whole(DRAWN, "transformer.h.0.ln_1.bias", 8), torch.zeros(8))
    assert torch.equal(whole(DRAWN, "transformer.h.0.ln_1.weight", 8), torch.ones(8))


def test_moments_of_a_run_without_a_step_are_zero() -> None:
    read = initial_state(DRAWN)
    part = Part(MATRIX, (4, 4), 4, 10)
    assert torch.equal(read("weight", part), DRAWN(part))
    assert torch.equal(read("exp_avg_sq", part), torch.zeros(6))


EMBEDDING, OTHER = "model.embed_tokens.weight", "model.norm.weight"


def make_folder(folder: Path, *, split: bool = False, prefix: str = "model.") -> dict[str, object]:
    tensors = {
        f"{prefix}embed_tokens.weight": torch.randn(6, 4, generator=torch.Generator()),
        f"{prefix}norm.weight": torch.arange(4).to(torch.bfloat16),
    }
    folder.mkdir()
    if split:
        files = {name: f"model-{number}.safetensors" for number, name in enumerate(tensors)}
        for name, file in files.items():
            save_file({name: tensors[name]}, folder / file)
        text = json.dumps({"weight_map": files})
        (folder / "model.safetensors.index.json").write_text(text, "utf-8")
    else:
        save_file(tensors, folder / "model.safetensors")
    return {name.removeprefix(prefix): value for name, value in tensors.items()}


def values_of(folder: Path) -> FolderValues:
    return FolderValues(folder, vocabulary={EMBEDDING}, prefix="model.")


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("prefix", ["model.", ""])
def test_a_folder_is_read_by_parts_as_float32(tmp_path: Path, split: bool, prefix: str) -> None:
    tensors = make_folder(tmp_path / "base", split=split, prefix=prefix)
    values = values_of(tmp_path / "base")
    embedding = tensors["embed_tokens.weight"]
    assert isinstance(embedding, torch.Tensor)
    assert torch.equal(values(Part(EMBEDDING, (6, 4), 5, 19)), embedding.view(-1)[5:19])
    norm = values(Part(OTHER, (4,), 1, 4))
    assert norm.dtype == torch.float32
    assert norm.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_rows_that_a_folder_lacks_are_the_mean_of_its_own(tmp_path: Path, world: int) -> None:
    old = make_folder(tmp_path / "base")["embed_tokens.weight"]
    assert isinstance(old, torch.Tensor)
    values = values_of(tmp_path / "base")
    parts = [values(Part(EMBEDDING, (9, 4), *share(36, rank, world))) for rank in range(world)]
    grown = torch.cat(parts).view(9, 4)
    assert torch.equal(grown[:6], old)
    assert torch.allclose(grown[6:], old.mean(0).expand(3, 4), atol=1e-7)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Part(OTHER, (5,), 0, 5), r"model.norm.weight is \(4,\) there and \(5,\) in the params"),
        (Part(EMBEDDING, (5, 4), 0, 4), r"is \(6, 4\) there and \(5, 4\)"),
        (Part(EMBEDDING, (8, 5), 0, 4), r"is \(6, 4\) there and \(8, 5\)"),
        (Part("model.layers.0.mlp.up_proj.weight", (4, 4), 0, 4), "has no model.layers.0"),
    ],
)
def test_what_a_folder_does_not_have_is_named(tmp_path: Path, part: Part, message: str) -> None:
    make_folder(tmp_path / "base")
    with pytest.raises(TrainingError, match=message):
        values_of(tmp_path / "base")(part)


def test_a_folder_without_readable_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"has no readable model\.safetensors"):
        values_of(tmp_path)(Part(OTHER, (4,), 0, 4))
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(TrainingError, match=r"has no readable model\.safetensors"):
        values_of(tmp_path)(Part(OTHER, (4,), 0, 4))


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path / "base", split=True)
    (tmp_path / "base/model-1.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"has no readable model-1\.safetensors"):
        values_of(tmp_path / "base")(Part(OTHER, (4,), 0, 4))
