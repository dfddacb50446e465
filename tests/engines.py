"""Engines in the process of a test: a group of one rank, and jobs without data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from polylm_core.settings import TrainingExecution
from polylm_core.training.engine import Engine
from polylm_core.training.guard import GuardOptions
from polylm_core.training.job import AdamW, ModelShape, PackedData, TrainJob
from polylm_core.training.schedule import Schedule

CONTEXT, VOCAB = 16, 64
LLAMA = {
    "architecture": "llama",
    "intermediate_size": 48,
    "num_kv_heads": 1,
    "rope_theta": 10_000.0,
    "rms_norm_epsilon": 1e-5,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {"gpt2": {}, "llama": LLAMA}


def make_shape(architecture: str = "gpt2", **changes: Any) -> ModelShape:
    """A model of two small blocks."""
    values: dict[str, Any] = {
        "num_layers": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "context_tokens": CONTEXT,
        "vocab_size": VOCAB,
        "initializer_std": 0.05,
        "bos_id": 1,
        "eos_id": 2,
        "pad_id": 3,
    }
    return ModelShape.model_validate(values | ARCHITECTURES[architecture] | changes)


def make_engine_job(folder: Path, architecture: str = "gpt2", **changes: Any) -> TrainJob:
    """A job for an engine alone; fields of `TrainingExecution` among `changes` go there."""
    execution = {
        name: changes.pop(name) for name in TrainingExecution.model_fields if name in changes
    }
    values: dict[str, Any] = {
        "work": folder,
        "seed": 9,
        "data": PackedData(rows_file=folder / "rows.npz", epochs=1, global_batch_windows=4),
        "new_model": make_shape(architecture),
        "schedule": Schedule(num_steps=8, warmup_steps=2, start=1e-7, peak=1e-2, final=1e-3),
        "adamw": AdamW(
            beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, max_gradient_norm=1.0
        ),
        "precision": "float32",
        "matmul_precision": "highest",
        "execution": TrainingExecution.model_validate(
            {"workers": 1, "persistent_parameter_elements": 100, "reduce_bucket_elements": 100_000}
            | execution
        ),
        "guard": GuardOptions(),
        "validate_every_steps": 8,
    }
    return TrainJob.model_validate(values | changes)


def make_engine(job: TrainJob) -> Engine:
    """The engine of a job, of 4 sequences in one micro-batch."""
    if job.execution.sharding == "none":
        from polylm_core.training.model import build
        from polylm_core.training.whole import WholeEngine

        return WholeEngine(build(job), job)
    from polylm_core.training.sharded import ShardedEngine

    return ShardedEngine(job, micro_batch=4, steps=1)


def random_ids(seed: int = 1) -> torch.Tensor:
    """Ids [4, T + 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, VOCAB, (4, CONTEXT + 1), generator=generator)


def do_step(engine: Engine, ids: torch.Tensor, learning_rate: float = 1e-2) -> float:
    """Do an optimizer step on these ids; return the loss before it, nats a token."""
    targets = ids[:, 1:].contiguous()
    loss = engine.losses(ids[:, :-1].contiguous(), targets) / targets.numel()
    engine.backward(loss, last=True)
    engine.update(learning_rate, float(engine.gradient_square().sqrt()))
    return float(loss.detach())


def state_of(engine: Engine) -> dict[str, torch.Tensor]:
    """Copies of all state, by kind and parameter."""
    return {
        f"{kind} {part.name}": tensor.clone()
        for part, state in engine.parts()
        for kind, tensor in state.items()
    }
