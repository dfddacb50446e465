"""The `pretrain` section of `params.yaml`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from polylm_core.stages.base import StageConfig
from polylm_core.training.guard import GuardOptions

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
LLAMA_ONLY = ("num_kv_heads", "rope_theta", "rms_norm_epsilon")


class ModelConfig(StageConfig):
    """Shape of the decoder."""

    architecture: Literal["gpt2", "llama"] = "gpt2"
    """`gpt2` is PolyLM's (Table 3): LayerNorm, GELU, learned absolute positions, feed-forward
    layers four times as wide. `llama` has RMSNorm, SwiGLU and rotary positions (Touvron et al.
    2023), and states the four values below that are for it."""
    num_layers: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    context_tokens: int = Field(gt=1)
    initializer_std: float = Field(gt=0)
    """Standard deviation of the initial weights; PolyLM's scripts use 0.006. Matrices that add to
    the residual stream have it over sqrt(2 layers) (Radford et al. 2019)."""
    tied_embeddings: bool = True
    """Whether the output matrix is the embedding, which gives PolyLM's published sizes."""
    intermediate_size: int | None = Field(default=None, gt=0)
    """Width of the feed-forward layers; for `gpt2` it follows from `hidden_size`."""
    num_kv_heads: int | None = Field(default=None, gt=0)
    """Heads of keys and values, each shared by as many of queries (Ainslie et al. 2023)."""
    rope_theta: float | None = Field(default=None, gt=0)
    """Base of the wavelengths of rotary positions: 10,000 in Su et al. 2021, 500,000 in Llama 3."""
    rms_norm_epsilon: float | None = Field(default=None, gt=0)
    """Added to the mean square that RMSNorm divides by: 1e-5 in Llama 2 and 3."""

    @model_validator(mode="after")
    def _has_the_values_of_its_architecture(self) -> Self:
        own = (*LLAMA_ONLY, "intermediate_size")
        stated = [name for name in own if getattr(self, name) is not None]
        if self.architecture == "gpt2" and stated:
            raise ValueError(f"architecture gpt2 has no {', '.join(stated)}: remove")
        missing = [name for name in own if getattr(self, name) is None]
        if self.architecture == "llama" and missing:
            raise ValueError(f"architecture llama needs {', '.join(missing)}")
        return self

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) is no multiple of num_heads ({self.num_heads})"
            )
        if self.num_heads % (self.num_kv_heads or self.num_heads):
            raise ValueError(
                f"num_heads ({self.num_heads}) is no multiple of num_kv_heads ({self.num_kv_heads})"
            )
        width = self.hidden_size // self.num_heads
        if self.architecture == "llama" and width % 2:
            raise ValueError(f"rotary positions turn pairs: a head of {width} cannot be halved")
        return self


def require_model_files(files: Collection[str]) -> None:
    """Raise ValueError unless these are the names of a model's files in one folder."""
    if "config.json" not in files:
        raise ValueError("config.json is not among the files")
    if not {"model.safetensors", "model.safetensors.index.json"} & set(files):
        raise ValueError("neither model.safetensors nor its index is among the files")
    folders = [name for name in files if "/" in name or name.startswith(".")]
    if folders:
        raise ValueError(f"{', '.join(folders)}: files lie side by side")


class InitFromConfig(StageConfig):
    """A Hugging Face model to go on from (continued pretraining) instead of drawn weights.

    `pretrain.model` describes it. Its pieces are the first ones of the vocabulary, as they are when
    `vocab` imports its tokenizer; pieces beyond them start as the mean of its own (Hewitt 2021).
    """

    uri: str = Field(min_length=1)
    """Where its files are: a folder, `hf://organisation/name@commit`, `s3://...`, `https://...`."""
    sha256: dict[str, Sha256] = Field(min_length=2)
    """Of each file to take: `config.json`, and the weights as safetensors (`model.safetensors`, or
    all shards with `model.safetensors.index.json`). Another content is refused."""
    license: str = Field(min_length=1)
    """SPDX name of the licence the model is under."""

    @field_validator("sha256", mode="after")
    @classmethod
    def _names_a_model(cls, files: dict[str, str]) -> dict[str, str]:
        require_model_files(files)
        return files


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


class RampConfig(StageConfig):
    """A piece of the run's beginning in smaller steps."""

    tokens: int = Field(gt=0)
    """Of the piece, a multiple of `global_batch_tokens`."""
    parts: int = Field(gt=1)
    """A step has this part of `global_batch_tokens`."""


class PretrainConfig(StageConfig):
    """One pretraining run over the mixture."""

    revision: int = Field(ge=1)
    """Raise it to train again after a change of code that changes the result."""
    model: ModelConfig
    optimizer: OptimizerConfig
    init_from: InitFromConfig | None = None
    """A model to go on from."""
    precision: Literal["float32", "bfloat16"]
    """Of the factors of matrix products. Weights, the sums of gradients over micro-batches and
    ranks, the optimizer and the softmax of the attention are float32 in either."""
    residual_precision: Literal["float32", "bfloat16"] = "float32"
    """Of the stream that every block adds to. PolyLM (§3.3) saw loss spikes until it was float32;
    bfloat16 halves what blocks keep of it for their backward pass."""
    matmul_precision: Literal["highest", "high", "medium"]
    """How float32 matrices are multiplied: `highest` in float32, `medium` with factors rounded to
    bfloat16 and sums in float32 where the processor has units for it (AMX, tensor cores), `high` in
    between; as `torch.set_float32_matmul_precision`."""
    global_batch_tokens: int = Field(gt=0)
    """Tokens of one optimizer step over all ranks; accumulation is derived."""
    batch_ramp: tuple[RampConfig, ...] = ()
    """What the run begins with, in smaller global batches, as GPT-3 (Brown et al. 2020, appendix B)
    raised its own. The warm-up counts tokens; the cosine counts steps of either size alike."""
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

    @model_validator(mode="after")
    def _residuals_are_no_narrower_than_products(self) -> Self:
        if self.precision == "float32" and self.residual_precision == "bfloat16":
            raise ValueError("residual_precision bfloat16 needs precision bfloat16")
        return self

    @property
    def ramp_windows(self) -> tuple[tuple[int, int], ...]:
        """Windows of each piece of the ramp, and of a step in it."""
        context = self.model.context_tokens
        batch = self.global_batch_tokens // context
        return tuple((piece.tokens // context, batch // piece.parts) for piece in self.batch_ramp)

    @model_validator(mode="after")
    def _ramp_is_of_whole_steps(self) -> Self:
        batch, context = self.global_batch_tokens, self.model.context_tokens
        for number, piece in enumerate(self.batch_ramp):
            if piece.tokens % batch:
                raise ValueError(
                    f"batch_ramp: {piece.tokens} tokens are no multiple of global_batch_tokens "
                    f"({batch})"
                )
            if batch % (piece.parts * context):
                raise ValueError(
                    f"batch_ramp: global_batch_tokens ({batch}) has no {piece.parts} parts of "
                    f"whole contexts ({context})"
                )
            if number and piece.parts >= self.batch_ramp[number - 1].parts:
                raise ValueError("batch_ramp: the parts of a piece are fewer than of that before")
        return self

    @field_validator("skip_steps")
    @classmethod
    def _in_order(cls, spans: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        for first, last in spans:
            if not 1 <= first <= last:
                raise ValueError(f"[{first}, {last}] is no first and last step, counted from 1")
        return spans
