"""The `pretrain` section of `params.yaml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from polylm_core.stages.base import StageConfig
from polylm_core.training.guard import GuardOptions


class ModelConfig(StageConfig):
    """Shape of the decoder (PolyLM Table 3: GPT-2 style, GELU, learned absolute positions)."""

    num_layers: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    context_tokens: int = Field(gt=1)
    initializer_std: float = Field(gt=0)
    """Standard deviation of the initial weights; PolyLM's scripts use 0.006."""


class OptimizerConfig(StageConfig):
    """AdamW with linear warm-up and cosine decay (PolyLM §3.3)."""

    peak_learning_rate: float = Field(gt=0)
    warmup_start_learning_rate: float = Field(default=1e-7, ge=0)
    """Learning rate the warm-up rises from (PolyLM §3.3)."""
    warmup_tokens: int = Field(ge=0)
    final_learning_rate_share: float = Field(default=0.1, ge=0, le=1)
    """The cosine ends at this share of the peak (PolyLM §3.3)."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)


class PretrainConfig(StageConfig):
    """One pretraining run over the mixture."""

    revision: int = Field(ge=1)
    """Raise it to train again after a change of code that changes the result."""
    model: ModelConfig
    optimizer: OptimizerConfig
    precision: Literal["float32", "bfloat16"]
    matmul_precision: Literal["highest", "high", "medium"]
    """How float32 matrices are multiplied: `highest` in float32, `medium` with factors rounded to
    bfloat16 and sums in float32 where the processor has units for it (AMX, tensor cores), `high` in
    between; as `torch.set_float32_matmul_precision`."""
    global_batch_tokens: int = Field(gt=0)
    """Tokens of one optimizer step over all ranks; accumulation is derived."""
    attend_across_documents: bool = True
    """Whether a position sees the documents before its own in the same window, as in GPT-3
    (appendix B). Without it positions count from each document's beginning, and the mask costs
    attention its fastest kernels."""
    guard: GuardOptions = GuardOptions()
    """When a step would harm the model and is left out."""
    skip_steps: tuple[tuple[int, int], ...] = ()
    """First and last of steps to leave out from the start, counted from 1: what a run found and
    wrote to `skips.jsonl`, for a run elsewhere that is to come to the same weights."""
    validate_every_steps: int = Field(gt=0)
    validation_tokens_per_language: int = Field(gt=0)
    """Held-out tokens a language is scored on while the run is under way."""

    @field_validator("skip_steps")
    @classmethod
    def _in_order(cls, spans: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        for first, last in spans:
            if not 1 <= first <= last:
                raise ValueError(f"[{first}, {last}] is no first and last step, counted from 1")
        return spans
