"""Adapters on disk in peft's form, opened as their users open them, and merged into their model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from polylm_core.errors import TrainingError
from polylm_core.storage import no_space_named, write_atomic
from polylm_core.training.adapter import is_factor, peft_configuration, peft_name
from polylm_core.training.certificate import Certificate, read_sample, write_certificate
from polylm_core.training.engine import Part
from polylm_core.training.export import Weights, write_model
from polylm_core.training.initialise import FolderValues
from polylm_core.training.job import LoraShape
from polylm_core.training.model import empty_model
from polylm_core.training.parity import certify, logits_of, opened

WEIGHTS = "adapter_model.safetensors"
CONFIGURATION = "adapter_config.json"
SAMPLE = "sample.json"
"""What the adapter was held against, for a merged model to be held against too."""


def write_adapter(shape: LoraShape, model_type: str, weights: Weights, folder: Path) -> None:
    """Write an adapter for `peft.PeftModel.from_pretrained`; equal weights, equal bytes."""
    shutil.rmtree(folder, ignore_errors=True)  # what a killed export left
    folder.mkdir(parents=True)
    tensors = {peft_name(name): tensor.contiguous() for name, tensor in weights}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)  # safetensors writes for its owner only
    config = peft_configuration(shape, model_type).to_dict()
    text = json.dumps(config, indent=2, sort_keys=True, default=sorted) + "\n"
    write_atomic(folder / CONFIGURATION, text.encode())


def opens(base: Path, tokenizer: Path) -> Callable[[Path], AbstractContextManager[tuple[Any, Any]]]:
    """Return how an adapter's folder is opened: on this base, with the tokenizer in this folder."""

    @contextmanager
    def open_adapter(folder: Path) -> Iterator[tuple[Any, Any]]:
        from peft import LoraConfig, inject_adapter_in_model

        with opened(base, tokenizer) as (model, opened_tokenizer):
            try:
                config = LoraConfig.from_pretrained(str(folder))
                # The base lies on disk, where peft would leave the adapter's values as well.
                inject_adapter_in_model(config, model, low_cpu_mem_usage=True)
                stored = load_file(folder / WEIGHTS)
            except (OSError, ValueError, TypeError, SafetensorError) as error:
                raise TrainingError(
                    f"{folder} does not open in peft, and is not published: {error}"
                ) from error
            factors = {name for name, _ in model.named_parameters() if is_factor(name)}
            names = {peft_name(name): name for name in factors}
            if names.keys() != stored.keys():
                other = ", ".join(sorted(names.keys() ^ stored.keys())[:3])
                raise TrainingError(f"{folder} does not fit {base}, and is not published: {other}")
            values = {names[key]: tensor for key, tensor in stored.items()}
            model.load_state_dict(values, strict=False, assign=True)
            yield model.eval(), opened_tokenizer

    return open_adapter


def merge(chat: Path, adapter: Path, out: Path) -> Certificate:
    """Write model and adapter as one model to `out`, held against the two.

    Raises TrainingError when they do not fit, or the merged model is another.
    """
    try:
        factors = load_file(adapter / WEIGHTS)
        config = json.loads((adapter / CONFIGURATION).read_text(encoding="utf-8"))
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingError(f"{adapter} is no adapter in peft's form: {error}") from error
    sample = read_sample(adapter / SAMPLE)
    with no_space_named(out):
        with opens(chat, chat)(adapter) as (model, tokenizer):
            reference = logits_of(model, sample)
            with torch.device("meta"):
                plain = empty_model(model.config)
            shapes = {name: tuple(value.shape) for name, value in plain.named_parameters()}
            prefix = f"{plain.base_model_prefix}."
            values = FolderValues(chat, vocabulary=frozenset(), prefix=prefix)

            def weights() -> Weights:
                for name, shape in shapes.items():
                    stored = values(Part(name, shape, 0, torch.Size(shape).numel())).view(shape)
                    yield name, stored + _change(name, factors, config)

            write_model(model.config, shapes, weights(), out)
            tokenizer.save_pretrained(out)
        certificate = certify(out, sample, reference, weights(), precision="float32")
        write_certificate(out, certificate)
    return certificate


def _change(name: str, factors: dict[str, torch.Tensor], config: dict[str, Any]) -> torch.Tensor:
    """Return what an adapter adds to a parameter."""
    module = f"base_model.model.{name.removesuffix('.weight')}"
    first, second = (factors.get(f"{module}.lora_{factor}.weight") for factor in "AB")
    if first is None or second is None:
        return torch.zeros(())
    change: torch.Tensor = (second.float() @ first.float()) * (config["lora_alpha"] / config["r"])
    return change.T if config["fan_in_fan_out"] else change
