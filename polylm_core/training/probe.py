"""Some steps of a fresh model on random tokens, timed: how fast this machine trains it."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from polylm_core.errors import MachineError
from polylm_core.settings import TrainingExecution
from polylm_core.training.guard import GuardOptions
from polylm_core.training.job import AdamW, ModelShape, PackedData, TrainJob
from polylm_core.training.model import build
from polylm_core.training.plan import Precision
from polylm_core.training.schedule import Schedule
from polylm_core.training.whole import WholeEngine

WARM_UP_STEPS = 2
"""The first step allocates, and compiles where the profile asks for it."""
BYTES_A_PARAMETER = 16
"""Weight, gradient and two moments in float32."""


@dataclass(frozen=True)
class Probe:
    """What was measured."""

    steps: int
    seconds: float
    tokens_per_second: float
    """Of one rank that holds the whole model."""


def probe(
    shape: ModelShape,
    precision: Precision,
    execution: TrainingExecution,
    *,
    matmul_precision: Literal["highest", "high", "medium"],
    micro_batch: int,
    seconds: float,
) -> Probe:
    """Train for at least `seconds`, and at least one step after those that warm up.

    Raises MachineError for an accelerator that is not there and a model that does not fit.
    """
    alone = {"sharding": "none", "workers": 1, "min_workers": None}
    alone |= {"offload_optimizer": "none", "offload_parameters": "none", "nvme_folder": None}
    with tempfile.TemporaryDirectory() as folder:
        job = TrainJob(
            work=Path(folder),
            seed=0,
            data=PackedData(rows_file=Path(folder), epochs=1, global_batch_windows=micro_batch),
            new_model=shape,
            schedule=Schedule(num_steps=1, warmup_steps=1, start=0, peak=1e-4, final=0),
            adamw=AdamW(
                beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, max_gradient_norm=1.0
            ),
            precision=precision.products,
            residual_precision=precision.residuals,
            matmul_precision=matmul_precision,
            guard=GuardOptions(),
            execution=execution.model_copy(update=alone),
            validate_every_steps=1,
        )
        return _timed(job, shape, micro_batch, seconds)


def _timed(job: TrainJob, shape: ModelShape, micro_batch: int, seconds: float) -> Probe:
    torch.set_float32_matmul_precision(job.matmul_precision)
    if job.execution.accelerator == "cpu":
        torch.set_num_threads(job.execution.threads_per_worker)
    elif not torch.cuda.is_available():
        raise MachineError("the profile trains on GPUs and torch sees none here; calibrate there")
    engine = WholeEngine(build(job), job)
    engine.train(True)
    generator = torch.Generator().manual_seed(0)
    size = (micro_batch, shape.context_tokens + 1)
    ids_BT = torch.randint(4, shape.vocab_size, size, generator=generator).to(engine.device)
    for _ in range(WARM_UP_STEPS):
        _step(engine, ids_BT)
    started, steps = time.monotonic(), 0
    while steps == 0 or time.monotonic() - started < seconds:
        _step(engine, ids_BT)
        steps += 1
    took = time.monotonic() - started
    return Probe(steps, took, steps * micro_batch * shape.context_tokens / took)


def _step(engine: WholeEngine, ids_BT: torch.Tensor) -> None:
    targets_BT = ids_BT[:, 1:].contiguous()
    loss = engine.losses(ids_BT[:, :-1].contiguous(), targets_BT) / targets_BT.numel()
    engine.backward(loss, last=True)
    # Reading the norm waits for the GPU, as the loop does at every step.
    engine.update(1e-4, float(engine.gradient_square().sqrt()))
