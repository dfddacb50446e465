"""What a training rank is told: one JSON-able description of the whole run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from polylm_core.settings import TrainingExecution
from polylm_core.training.batches import BatchSizes
from polylm_core.training.guard import GuardOptions
from polylm_core.training.schedule import Schedule


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelShape(_Part):
    """What a decoder is built from."""

    architecture: Literal["gpt2", "llama"] = "gpt2"
    num_layers: int
    hidden_size: int
    num_heads: int
    context_tokens: int
    vocab_size: int
    initializer_std: float
    tied_embeddings: bool = True
    intermediate_size: int | None = None
    """Width of the feed-forward layers; without it, as GPT-2, four times `hidden_size`."""
    num_kv_heads: int | None = None
    """Llama: heads of keys and values."""
    rope_theta: float | None = None
    """Llama: base of the rotary positions' wavelengths."""
    rms_norm_epsilon: float | None = None
    """Llama: added to the mean square that is divided by."""
    bos_id: int
    eos_id: int
    pad_id: int


class CurriculumData(_Part):
    """Pretraining: windows of token streams, by curriculum stage."""

    kind: Literal["curriculum"] = "curriculum"
    tokens_fingerprint: str
    """Of the token set; with the run's seed it decides the order."""
    stream_files: dict[str, Path]
    """Each stream's token file without its ending."""
    stage_windows: list[tuple[str, dict[str, int]]]
    """Name and windows by stream of each curriculum stage."""
    context_tokens: int
    global_batch_windows: int
    batch_ramp: tuple[tuple[int, int], ...] = ()
    """Pieces of the run's beginning in smaller steps: windows in all, windows of each step."""
    attend_across_documents: bool

    @property
    def batches(self) -> BatchSizes:
        """Which windows each step has."""
        return BatchSizes(self.global_batch_windows, self.batch_ramp)


class PackedData(_Part):
    """Fine-tuning: chats packed into rows beforehand (`ids`, `targets`, `segments` of an .npz)."""

    kind: Literal["packed"] = "packed"
    rows_file: Path
    epochs: float
    global_batch_windows: int

    @property
    def batches(self) -> BatchSizes:
        """Which rows each step has."""
        return BatchSizes(self.global_batch_windows)


class AdamW(_Part):
    """The optimizer, as `torch.optim.AdamW` takes it."""

    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    max_gradient_norm: float


class LoraShape(_Part):
    """Adapters beside the matrices of a model, which are frozen."""

    rank: int
    alpha: float
    dropout: float
    target_modules: tuple[str, ...]


class ExportPlan(_Part):
    """What goes into the exported folder beside the model, and what the folder is held against."""

    tokenizer_folder: Path
    """Its files become part of the export."""
    sample_file: Path
    """Text of each language with the ids it is trained as (`certificate.write_sample`)."""


class TrainJob(_Part):
    """One training run; every rank gets the same."""

    work: Path
    """Checkpoints, metrics and the export go here."""
    account: Path | None = None
    """Folder in which runs that share a budget write what they have spent; by default `work`."""
    seed: int
    data: CurriculumData | PackedData
    new_model: ModelShape | None = None
    """Shape of the model; without it that of `init_from`."""
    init_from: Path | None = None
    """Hugging Face folder with the weights to start from; without it they are drawn by `seed`."""
    lora: LoraShape | None = None
    """Adapters on the model of `init_from`, which alone are trained, saved and exported."""
    tuned_share: float | None = None
    """Where on the line from `init_from` (0) to the trained weights (1) the export lies; without it
    at its end. Checkpoints have the trained weights."""
    validation_file: Path | None = None
    """`.npz` of held-out rows: `ids` [N, T+1], `language` [N], `segments` [N, T] where documents do
    not attend to each other; by language `languages`, `bytes`."""
    export: ExportPlan | None = None
    """Without it the export is the model alone and has no certificate, so no stage publishes it."""
    schedule: Schedule
    adamw: AdamW
    precision: Literal["float32", "bfloat16"]
    """Of the factors of matrix products; weights, sums of gradients and optimizer are float32."""
    residual_precision: Literal["float32", "bfloat16"] = "float32"
    """Of the stream that every block adds to."""
    matmul_precision: Literal["highest", "high", "medium"]
    """How float32 matrices are multiplied, as `torch.set_float32_matmul_precision` takes it."""
    guard: GuardOptions
    skip_steps: tuple[tuple[int, int], ...] = ()
    """First and last of steps to leave out, counted from 1."""
    execution: TrainingExecution
    validate_every_steps: int

    @model_validator(mode="after")
    def _has_a_model(self) -> Self:
        if self.new_model is None and self.init_from is None:
            raise ValueError("the job names neither a model to build nor a folder to load")
        if self.lora is not None and self.init_from is None:
            raise ValueError("the job's adapters have no model to hang on")
        if self.tuned_share is not None and (self.init_from is None or self.lora is not None):
            raise ValueError("the job's tuned_share needs a model to start from, trained whole")
        return self
