"""One pretraining job for both sides of a comparison, and what a side measured of it.

Both sides read the same token file in the same order, start from the same weights and follow the
same schedule, so that their losses are equal step by step up to rounding.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from pydantic import BaseModel, ConfigDict

from polylm_core.settings import CheckpointPolicy, TrainingExecution
from polylm_core.token_files import TokenFileWriter
from polylm_core.training.curriculum import windows_of_stage
from polylm_core.training.guard import GuardOptions
from polylm_core.training.job import AdamW, CurriculumData, ModelShape, TrainJob
from polylm_core.training.schedule import Schedule

STREAM = "text"
ZIPF_EXPONENT = 1.2
"""Of the frequency of tokens by rank: text has about 1, and a loss that can fall."""
EVERY_STEPS = 5
"""Steps whose time is taken together."""
JOB_FILE = "job.json"
MEASURED_FILE = "measured.json"


@dataclass(frozen=True)
class Load:
    """A model's shape and the batch of a step."""

    layers: int
    hidden: int
    heads: int
    vocab: int
    context: int
    sequences: int
    """Of a global batch."""
    peak_learning_rate: float
    initializer_std: float

    @property
    def step_tokens(self) -> int:
        """Tokens of a step."""
        return self.context * self.sequences

    def model(self) -> ModelShape:
        """Return the shape as the engine takes it."""
        return ModelShape(
            num_layers=self.layers,
            hidden_size=self.hidden,
            num_heads=self.heads,
            context_tokens=self.context,
            vocab_size=self.vocab,
            initializer_std=self.initializer_std,
            bos_id=1,
            eos_id=2,
            pad_id=3,
        )


class PeerSettings(BaseModel):
    """What was chosen of what Trainer offers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequences: int
    """`per_device_train_batch_size`; the rest of the batch is accumulated."""
    bf16: bool = False
    """Autocast to bfloat16."""
    compile: bool = False
    """`torch_compile`."""
    attention: str = "sdpa"
    """`attn_implementation` of the model."""
    liger: bool = False
    """`use_liger_kernel`, and Liger's fused loss where that has none for the model."""
    recompute: bool = False
    """`gradient_checkpointing`."""


@dataclass(frozen=True)
class Measured:
    """What one side took for one job."""

    losses: list[float]
    """Of every step, nats a token."""
    tokens_per_second: float
    """Of the median group of steps after the warm-up."""
    mean_tokens_per_second: float
    """Of all steps after the warm-up."""
    peak_bytes: int
    """Largest resident set of the ranks, added up; on a GPU the most memory allocated there."""
    start_seconds: float
    """From the start of the process to the end of the warm-up: imports, building, compiling; where
    two sides take turns, beside the other."""
    group_seconds: list[float] = field(default_factory=list)
    """Of the groups of steps after the warm-up, in their order."""

    def write(self, folder: Path) -> None:
        """Leave it for the program that started the side."""
        (folder / MEASURED_FILE).write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Measured:
        """Read what a side left."""
        return cls(**json.loads((folder / MEASURED_FILE).read_text("utf-8")))


def write_tokens(stem: Path, vocab_size: int, num_tokens: int) -> None:
    """Write random tokens, the frequent ones as frequent as in text."""
    draw = np.random.default_rng(1)
    weights = np.arange(1, vocab_size + 1, dtype=np.float64) ** -ZIPF_EXPONENT
    tokens = draw.choice(vocab_size, num_tokens, p=weights / weights.sum())
    with TokenFileWriter(stem, vocab_size=vocab_size) as writer:
        writer.add_batch(tokens, np.asarray([num_tokens]))


def make_job(
    folder: Path,
    load: Load,
    *,
    steps: int,
    execution: TrainingExecution,
    precision: str,
    tokens: Path,
) -> TrainJob:
    """Return the job of so many steps over a token file; its one checkpoint is at the end."""
    policy = CheckpointPolicy(every_steps=steps, keep_last=1)
    windows = windows_of_stage(
        {STREAM: steps * load.step_tokens},
        context_tokens=load.context,
        global_batch_windows=load.sequences,
    )
    return TrainJob(
        work=folder,
        seed=1,
        data=CurriculumData(
            tokens_fingerprint="benchmark",
            stream_files={STREAM: tokens},
            stage_windows=[("only", windows)],
            context_tokens=load.context,
            global_batch_windows=load.sequences,
            attend_across_documents=True,
        ),
        new_model=load.model(),
        schedule=Schedule(
            num_steps=steps,
            warmup_steps=steps // 4,
            start=1e-7,
            peak=load.peak_learning_rate,
            final=load.peak_learning_rate / 10,
        ),
        adamw=AdamW(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, max_gradient_norm=1.0),
        precision="bfloat16" if precision == "bfloat16" else "float32",
        matmul_precision="medium",
        guard=GuardOptions(),
        execution=execution.model_copy(update={"checkpoints": policy}),
        validate_every_steps=steps,
    )


def write_job(job: TrainJob) -> Path:
    """Write the job into its folder for the process that does it."""
    job.work.mkdir(parents=True)
    path = job.work / JOB_FILE
    path.write_text(job.model_dump_json(), "utf-8")
    return path


def read_job(path: Path) -> TrainJob:
    """Read a job that was written."""
    return TrainJob.model_validate_json(path.read_text("utf-8"))


def step_tokens(job: TrainJob) -> int:
    """Return the tokens of a step of a job that was made here."""
    assert isinstance(job.data, CurriculumData)
    return job.data.context_tokens * job.data.global_batch_windows


def speeds(seconds: Sequence[float], step_tokens: int, warm_steps: int) -> dict[str, Any]:
    """Return the speed after the warm-up as `Measured` has it; `seconds` are those of each group.

    The median group's, as what else the machine does for a moment slows a few; and the mean.
    """
    timed = seconds[warm_steps // EVERY_STEPS :]
    tokens = EVERY_STEPS * step_tokens
    return {
        "tokens_per_second": tokens / statistics.median(timed),
        "mean_tokens_per_second": tokens / statistics.fmean(timed),
        "group_seconds": list(timed),
    }


def seconds_since_start() -> float:
    """Return the age of this process."""
    return time.time() - float(psutil.Process().create_time())


def peak_resident_bytes(pid: int | str) -> int:
    """Return the most memory a living process has had resident; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = status.partition("VmHWM:")[2].split()
    return int(found[0]) * 1024 if found else 0
