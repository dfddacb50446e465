"""Recipes that describe no model are refused; the model to go on from is fetched and checked."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from polylm_core.errors import SourceError
from polylm_core.stages.pretrain.config import InitFromConfig, ModelConfig, PretrainConfig
from polylm_core.stages.pretrain.init_from import fetch_model

SHAPE = {
    "num_layers": 2,
    "hidden_size": 32,
    "num_heads": 4,
    "context_tokens": 16,
    "initializer_std": 0.02,
}
LLAMA = SHAPE | {
    "architecture": "llama",
    "intermediate_size": 48,
    "num_kv_heads": 2,
    "rope_theta": 10_000,
    "rms_norm_epsilon": 1e-5,
}


@pytest.mark.parametrize("values", [SHAPE, LLAMA, LLAMA | {"tied_embeddings": False}])
def test_either_architecture_is_described(values: dict[str, Any]) -> None:
    assert ModelConfig.model_validate(values).num_layers == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (SHAPE | {"num_heads": 5}, r"hidden_size \(32\) is no multiple of num_heads \(5\)"),
        (LLAMA | {"num_kv_heads": 3}, r"num_heads \(4\) is no multiple of num_kv_heads \(3\)"),
        (LLAMA | {"hidden_size": 36}, "a head of 9 cannot be halved"),
        (SHAPE | {"rope_theta": 1.0}, "architecture gpt2 has no rope_theta: remove"),
        (SHAPE | {"architecture": "llama"}, "needs num_kv_heads, rope_theta, rms_norm_epsilon"),
        (SHAPE | {"architecture": "gpt3"}, "'gpt2' or 'llama'"),
    ],
)
def test_what_no_model_can_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig.model_validate(values)


def make_config(**changes: object) -> PretrainConfig:
    values: dict[str, object] = {
        "revision": 1,
        "precision": "float32",
        "matmul_precision": "highest",
        "global_batch_tokens": 64,
        "validate_every_steps": 5,
        "validation_tokens_per_language": 16,
        "model": SHAPE,
        "optimizer": {"peak_learning_rate": 0.01, "warmup_tokens": 64},
    }
    return PretrainConfig.model_validate(values | changes)


@pytest.mark.parametrize(
    ("ramp", "message"),
    [
        ([(10, 2)], "10 tokens are no multiple of global_batch_tokens \\(64\\)"),
        ([(64, 3)], "has no 3 parts of whole contexts \\(16\\)"),
        ([(64, 16)], "has no 16 parts of whole contexts"),
        ([(64, 2), (64, 4)], "the parts of a piece are fewer than of that before"),
        ([(64, 1)], "greater than 1"),
    ],
)
def test_a_ramp_of_broken_steps_is_refused(ramp: list[tuple[int, int]], message: str) -> None:
    pieces = [{"tokens": tokens, "parts": parts} for tokens, parts in ramp]
    with pytest.raises(ValidationError, match=message):
        make_config(batch_ramp=pieces)


def test_a_ramp_is_told_in_windows() -> None:
    pieces = [{"tokens": 128, "parts": 4}, {"tokens": 64, "parts": 2}]
    assert make_config(batch_ramp=pieces).ramp_windows == ((8, 1), (4, 2))


def test_a_residual_stream_narrower_than_products_is_refused() -> None:
    with pytest.raises(ValidationError, match="residual_precision bfloat16 needs precision"):
        make_config(residual_precision="bfloat16")


FILES = {"config.json": b"{}", "model.safetensors": b"weights"}


def declared(uri: str, **changes: str) -> InitFromConfig:
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    return InitFromConfig(uri=uri, license="Apache-2.0", sha256=sha256 | changes)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def test_declared_files_are_fetched_once(base: Path, tmp_path: Path) -> None:
    found = fetch_model(declared(str(base)), tmp_path / "work")
    assert {file.name: file.read_bytes() for file in found.iterdir()} == FILES
    (base / "config.json").unlink()
    assert fetch_model(declared(str(base)), tmp_path / "work") == found
    (found / "config.json").write_bytes(b"torn")
    with pytest.raises(SourceError, match=r"pretrain\.init_from: .*config\.json"):
        fetch_model(declared(str(base)), tmp_path / "work")


def test_another_file_than_declared_is_refused(base: Path, tmp_path: Path) -> None:
    (base / "model.safetensors").write_bytes(b"other")
    with pytest.raises(SourceError, match=r"model\.safetensors: sha256 is .* declared is"):
        fetch_model(declared(str(base)), tmp_path / "work")
    assert not (tmp_path / "work/init_from/model.safetensors").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["model.safetensors", "tokenizer.model"], r"config\.json is not among the files"),
        (["config.json", "pytorch_model.bin"], r"neither model\.safetensors nor its index"),
        (["config.json", "model.safetensors", "../x"], "files lie side by side"),
    ],
)
def test_files_that_are_no_model_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        InitFromConfig(uri="base", license="MIT", sha256=dict.fromkeys(names, "0" * 64))
