"""The `finetune` section of `params.yaml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from polylm_core.stages.base import StageConfig


class FinetuneConfig(StageConfig):
    """Supervised fine-tuning of the base model, loss on answers only."""

    revision: int = Field(ge=1)
    """Raise it to tune again after a change of code that changes the result."""
    learning_rate: float = Field(gt=0)
    warmup_share: float = Field(ge=0, lt=1)
    """Share of the steps in which the learning rate rises from zero."""
    weight_decay: float = Field(ge=0)
    max_gradient_norm: float = Field(gt=0)
    epochs: float = Field(gt=0)
    """How often each instruction is seen."""
    global_batch_tokens: int = Field(gt=0)
    """Tokens of one optimizer step over all ranks; accumulation is derived."""
    precision: Literal["float32", "bfloat16"]
    matmul_precision: Literal["highest", "high", "medium"]
    """How float32 matrices are multiplied: `highest` in float32, `medium` with factors rounded to
    bfloat16 and sums in float32 where the processor has units for it (AMX, tensor cores), `high` in
    between; as `torch.set_float32_matmul_precision`."""
