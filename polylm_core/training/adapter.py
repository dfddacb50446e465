"""LoRA adapters in a model: beside frozen matrices two factors that learn (Hu et al. 2021).

peft puts them in and computes them; their names, their first values and their dropout are ours, so
that any number of ranks has the same. Factor A is drawn as `torch.nn.Linear` draws its weight
(uniform, within 1 / sqrt(inputs), which is peft's choice too), factor B is zero.

Legend: B rows, T tokens, H hidden size.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from polylm_core.errors import TrainingError
from polylm_core.training.engine import Part
from polylm_core.training.initialise import Values, uniform_values
from polylm_core.training.job import LoraShape
from polylm_core.training.permutation import key_of

ADAPTER = "default"
FACTORS = (f".lora_A.{ADAPTER}.weight", f".lora_B.{ADAPTER}.weight")


class DropoutRows:
    """Which rows of which step the model is computing, for all dropouts of a model."""

    def __init__(self) -> None:
        self.step = 0
        self.rows: list[int] = []
        """Places in the global batch, so that the ranks that share it do not matter."""


class RowDropout(nn.Module):
    """Leaves out a share of each row's elements, drawn by seed, module, step and row."""

    def __init__(self, share: float, key: tuple[int, str], rows: DropoutRows) -> None:
        super().__init__()
        self._share = share
        self._key = key
        self._rows = rows

    def forward(self, hidden_BTH: torch.Tensor) -> torch.Tensor:
        """Return the rows with elements left out and the others scaled up; the same each time."""
        if not self.training:
            return hidden_BTH
        kept_BTH = torch.empty_like(hidden_BTH)
        for kept_TH, row in zip(kept_BTH, self._rows.rows, strict=True):
            generator = torch.Generator(hidden_BTH.device)
            generator.manual_seed(int(key_of(*self._key, self._rows.step, row)))
            kept_TH.bernoulli_(1 - self._share, generator=generator)
        return hidden_BTH * kept_BTH / (1 - self._share)


def set_rows(model: PreTrainedModel, step: int, rows: list[int]) -> None:
    """Say which rows the model is about to compute; models without dropout do not care."""
    known: DropoutRows | None = getattr(model, "dropout_rows", None)
    if known is not None:
        known.step, known.rows = step, rows


def peft_configuration(shape: LoraShape, model_type: str) -> Any:
    """Return peft's configuration of an adapter."""
    from peft import LoraConfig  # costs a second, and most jobs have none

    return LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,  # type: ignore[arg-type]  # peft computes with any number
        lora_dropout=shape.dropout,
        target_modules=sorted(shape.target_modules),
        fan_in_fan_out=model_type == "gpt2",
        bias="none",
        task_type="CAUSAL_LM",
        inference_mode=True,
    )


def inject(model: PreTrainedModel, shape: LoraShape, seed: int) -> None:
    """Put empty adapters into a model, and freeze everything else.

    Raises TrainingError for a target that is no matrix of the model's blocks.
    """
    from peft import inject_adapter_in_model

    _require_targets(model, shape)
    config = peft_configuration(shape, model.config.model_type)
    config.inference_mode = False
    config.init_lora_weights = False  # the values come from elsewhere
    before = torch.get_default_dtype()
    torch.set_default_dtype(model.dtype)
    try:
        inject_adapter_in_model(config, model, ADAPTER)
    finally:
        torch.set_default_dtype(before)
    if shape.dropout:
        rows = DropoutRows()
        for name, part in model.named_modules():
            if hasattr(part, "lora_dropout"):
                part.lora_dropout[ADAPTER] = RowDropout(shape.dropout, (seed, name), rows)
        model.dropout_rows = rows  # type: ignore[assignment]


def _require_targets(model: PreTrainedModel, shape: LoraShape) -> None:
    from polylm_core.training.model import blocks

    found = {
        name.rpartition(".")[2]
        for block in blocks(model)
        for name, part in block.named_modules()
        if isinstance(part, nn.Linear | Conv1D)
    }
    unknown = sorted(set(shape.target_modules) - found)
    if unknown:
        raise TrainingError(
            f"{', '.join(unknown)}: no matrix of a {model.config.model_type}'s blocks has this "
            f"name; target_modules may be {', '.join(sorted(found))}"
        )


def is_factor(name: str) -> bool:
    """Whether a parameter is a factor of an adapter."""
    return name.endswith(FACTORS)


def base_name(name: str) -> str:
    """Return what a frozen parameter is called in a model without adapters."""
    return name.replace(".base_layer.", ".")


def peft_name(name: str) -> str:
    """Return what a factor is called in peft's file."""
    return f"base_model.model.{name.replace(f'.{ADAPTER}.weight', '.weight')}"


def adapter_values(frozen: Values, seed: int) -> Values:
    """Return the first values of a model with adapters on the model that `frozen` has."""

    def values(part: Part) -> torch.Tensor:
        if not is_factor(part.name):
            return frozen(Part(base_name(part.name), part.shape, part.start, part.stop))
        if part.name.endswith(FACTORS[1]):
            return torch.zeros(part.stop - part.start)
        return uniform_values(seed, part, bound=1 / math.sqrt(part.shape[1]))

    return values
