"""The `finetune` section of `params.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from polylm_core.languages import LanguageCode
from polylm_core.stages.base import StageConfig


class FullMethod(StageConfig):
    """Every weight learns; the next phase goes on from them."""

    kind: Literal["full"]
    """`full`."""
    tuned_share: float | None = Field(default=None, gt=0, lt=1)
    """The result lies this far on the line from the weights that the phase starts from to those
    that it ends with: less is forgotten of what the base can do (WiSE-FT, arXiv 2109.01903). By
    default it is what training ends with."""


class LoraMethod(StageConfig):
    """Low-rank adapters beside frozen matrices (Hu et al. 2021), published in peft's form."""

    kind: Literal["lora"]
    """`lora`."""
    rank: int = Field(gt=0)
    """Columns of the two factors of a matrix's change."""
    alpha: float = Field(gt=0)
    """The change is scaled by alpha / rank."""
    dropout: float = Field(ge=0, lt=1)
    """Share of an adapter's inputs left out, drawn anew for each row of each step."""
    target_modules: tuple[str, ...] = Field(min_length=1)
    """Names of the matrices with an adapter, in every block: `q_proj`, `k_proj`, `v_proj`, `o_proj`
    of a Llama, `c_attn` of a GPT-2."""


Method = Annotated[FullMethod | LoraMethod, Field(discriminator="kind")]


class PhaseConfig(StageConfig):
    """One pass over some of the instructions."""

    name: str = Field(pattern="^[a-z0-9][a-z0-9-]*$")
    """Names its adapter's folder, and its row in the curves."""
    method: Method
    """What learns."""
    origins: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Only examples of these origins: `self-instruct`, `cross-lingual`, `taco`, an imported set."""
    languages: tuple[LanguageCode, ...] | None = Field(default=None, min_length=1)
    """Only examples answered in these languages, as FLORES-200 codes."""
    learning_rate: float = Field(gt=0)
    warmup_share: float = Field(ge=0, lt=1)
    """Share of the steps in which the learning rate rises from zero; it then falls to zero."""
    weight_decay: float = Field(ge=0)
    epochs: float = Field(gt=0)
    """How often each example is seen."""
    global_batch_tokens: int = Field(gt=0)
    """Tokens of one optimizer step over all ranks; accumulation is derived."""
    context_tokens: int | None = Field(default=None, gt=1)
    """Length of the rows that examples are packed into; without it the model's context."""
    expected_tokens: int | None = Field(default=None, gt=0)
    """Tokens of its examples, as far as they are known beforehand, for `polylm plan` to plan
    with; a run counts its own."""


class FinetuneConfig(StageConfig):
    """Supervised fine-tuning of the base model in phases, loss on answers only.

    Full phases follow one another; each LoRA phase hangs an adapter on what the last of them, or
    the base model, is.
    """

    revision: int = Field(ge=1)
    """Raise it to tune again after a change of code that changes the result."""
    phases: tuple[PhaseConfig, ...] = Field(min_length=1)
    """In this order, the full ones first. The first has the recipe's seed, each other the next."""
    chat_template: str | None = Field(default=None, min_length=1)
    """Jinja template of a chat, as in `chat_template.jinja`; it ends answers with `eos_token`. By
    default that of an imported base model, or else that of PolyLM's chat models."""
    max_gradient_norm: float = Field(gt=0)
    precision: Literal["float32", "bfloat16"]
    matmul_precision: Literal["highest", "high", "medium"]
    """How float32 matrices are multiplied: `highest` in float32, `medium` with factors rounded to
    bfloat16 and sums in float32 where the processor has units for it (AMX, tensor cores), `high` in
    between; as `torch.set_float32_matmul_precision`."""

    @model_validator(mode="after")
    def _phases_in_order(self) -> Self:
        names = [phase.name for phase in self.phases]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"phases: {', '.join(repeated)} is there more than once")
        kinds = [phase.method.kind for phase in self.phases]
        if kinds != sorted(kinds):
            late = names[len(kinds) - 1 - kinds[::-1].index("full")]
            raise ValueError(
                f"phases: {late} is full and after a LoRA phase, whose adapter would then fit no "
                "model; put the full phases first"
            )
        return self
