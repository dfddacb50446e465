"""The `mix` section of `params.yaml`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from polylm_core.stages.base import StageConfig


class CurriculumStageConfig(StageConfig):
    """One stage of the curriculum (PolyLM §3.3)."""

    name: str
    share_of_tokens: float = Field(gt=0, le=1)
    """Share of all training tokens; the stages' shares add to 1."""
    non_english_share: float = Field(ge=0, le=1)
    """Share of the stage's monolingual tokens that is not English: 0.3, then 0.6 in PolyLM."""
    bilingual_share: float = Field(ge=0, lt=1)
    """Share of the stage's tokens drawn from aligned pairs: 0.0016, then 0.0476 in PolyLM."""


class MixConfig(StageConfig):
    """How many tokens of which stream each curriculum stage draws."""

    tokens: int = Field(gt=0)
    """Training tokens in all, rounded down to whole optimizer steps by `pretrain`."""
    sampling_exponent: float = Field(ge=0, le=1)
    """Languages other than English share by (their tokens) ** exponent; 0 is equal shares."""
    max_epochs: float = Field(gt=0)
    """No stream is repeated more often than this within one curriculum stage."""
    stages: tuple[CurriculumStageConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _shares_add_to_one(self) -> Self:
        total = sum(stage.share_of_tokens for stage in self.stages)
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the stages' share_of_tokens add to {total:g}, they must add to 1")
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"two stages have one name: {', '.join(names)}")
        return self
