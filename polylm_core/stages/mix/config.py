"""The `mix` section of `params.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from polylm_core.stages.base import StageConfig

Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Tokens = Annotated[int, Field(gt=0)]
Epochs = Annotated[float, Field(gt=0)]


class CurriculumStageConfig(StageConfig):
    """One stage of the curriculum (PolyLM §3.3)."""

    name: str
    share_of_tokens: float | None = Field(default=None, gt=0, le=1)
    """Share of `mix.tokens`; the stages' shares add to 1."""
    tokens: int | None = Field(default=None, gt=0)
    """Tokens of the stage, where the stages state their own instead of shares of `mix.tokens`."""
    policy: Literal["temperature", "unimax", "manual"] = "temperature"
    """How languages share the stage: `temperature` by (their tokens) ** exponent (Conneau et al.
    2019), `unimax` equally until a language meets its epoch cap (Chung et al. 2023), `manual` by
    `weights`, where nobody else takes what a language lacks."""
    sampling_exponent: float | None = Field(default=None, ge=0, le=1)
    """Exponent of this stage; `mix.sampling_exponent` if it has none."""
    weights: dict[str, Weight] = Field(default_factory=dict)
    """For `manual`: each language's part of the monolingual tokens in any unit, such as the tokens
    of a paper's table; what counts is the part of their sum. 0 leaves a language out."""
    non_english_share: float | None = Field(default=None, ge=0, le=1)
    """Share of the stage's monolingual tokens that is not English: 0.3, then 0.6 in PolyLM.
    Without it English shares by the policy as any other language."""
    bilingual_share: float = Field(ge=0, lt=1)
    """Share of the stage's tokens drawn from aligned pairs: 0.0016, then 0.0476 in PolyLM. Pairs
    share it by the policy too, by the exponent where the policy is `manual`."""
    min_tokens: dict[str, Tokens] = Field(default_factory=dict)
    """Floor of a language or an aligned pair (`eng_Latn-por_Latn`) in tokens of this stage."""
    min_share: dict[str, Share] = Field(default_factory=dict)
    """The same floors as shares of the stage's tokens; the higher floor counts."""

    @model_validator(mode="after")
    def _weights_are_the_whole_of_manual(self) -> Self:
        if self.policy != "manual":
            if self.weights:
                raise ValueError(f"weights are for policy manual, this one is {self.policy}")
            return self
        if not sum(self.weights.values()):
            raise ValueError("policy manual needs weights, at least one of them above 0")
        forbidden = [
            name
            for name in ("non_english_share", "min_tokens", "min_share")
            if getattr(self, name) not in (None, {})
        ]
        if forbidden:
            raise ValueError(f"policy manual says it by its weights: remove {', '.join(forbidden)}")
        return self


class MixConfig(StageConfig):
    """How many tokens of which stream each curriculum stage draws."""

    tokens: int | None = Field(default=None, gt=0)
    """Training tokens in all, rounded down to whole optimizer steps by `pretrain`; without it every
    stage states its own."""
    sampling_exponent: float = Field(default=0.3, ge=0, le=1)
    """Exponent of the `temperature` policy: 0 is equal shares, 1 as much as there is; 0.3 is
    XLM-R's (Conneau et al. 2019)."""
    max_epochs: float = Field(gt=0)
    """No stream is repeated more often than this within one curriculum stage."""
    max_epochs_in_all: float | None = Field(default=None, gt=0)
    """No stream is repeated more often than this over all stages; they are solved in order, so an
    early stage leaves a late one what it did not take. Muennighoff et al. 2023 find repeats nearly
    as good as new text up to 4 epochs."""
    max_epochs_by_stream: dict[str, Epochs] = Field(default_factory=dict)
    """Both bounds of single streams instead: a language, or an aligned pair
    (`eng_Latn-por_Latn`)."""
    stages: tuple[CurriculumStageConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _budgets_are_stated_once(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"two stages have one name: {', '.join(names)}")
        if self.tokens is None:
            silent = [s.name for s in self.stages if s.tokens is None or s.share_of_tokens]
            if silent:
                raise ValueError(
                    "without mix.tokens every stage states tokens and no share_of_tokens: "
                    + ", ".join(silent)
                )
            return self
        silent = [s.name for s in self.stages if s.share_of_tokens is None or s.tokens]
        if silent:
            raise ValueError(
                "with mix.tokens every stage states share_of_tokens and no tokens: "
                + ", ".join(silent)
            )
        total = sum(stage.share_of_tokens or 0 for stage in self.stages)
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the stages' share_of_tokens add to {total:g}, they must add to 1")
        return self

    def tokens_of(self, stage: CurriculumStageConfig) -> int:
        """The budget of one stage."""
        return stage.tokens or int((self.tokens or 0) * (stage.share_of_tokens or 0))

    def exponent_of(self, stage: CurriculumStageConfig) -> float:
        """The exponent by which a stage's languages, or only its pairs, share."""
        own = stage.sampling_exponent
        return self.sampling_exponent if own is None else own
