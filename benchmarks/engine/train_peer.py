"""transformers.Trainer on one of our jobs: `python -m benchmarks.engine.train_peer JOB SETTINGS`.

The same model class with the same weights, the same windows in the same order, the same AdamW,
schedule and clipping; the loss is the one that the model computes itself, or Liger's. SETTINGS is
JSON: what Trainer lets its user choose (`pretraining.PeerSettings`).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments

from benchmarks.engine.baton import Baton
from benchmarks.engine.fused import fuse_loss, liger_loss
from benchmarks.engine.pretraining import (
    EVERY_STEPS,
    Measured,
    PeerSettings,
    peak_resident_bytes,
    read_job,
    seconds_since_start,
    speeds,
    step_tokens,
)
from polylm_core.training.job import TrainJob
from polylm_core.training.model import build_model
from polylm_core.training.optimizer import adamw
from polylm_core.training.order import build_order


def trainer_arguments(job: TrainJob, settings: PeerSettings) -> TrainingArguments:
    """Return Trainer's arguments; nothing is logged or saved."""
    on_gpu = job.execution.accelerator == "gpu"
    return TrainingArguments(
        output_dir=str(job.work),
        max_steps=job.schedule.num_steps,
        per_device_train_batch_size=settings.sequences,
        gradient_accumulation_steps=job.data.global_batch_windows // settings.sequences,
        max_grad_norm=job.adamw.max_gradient_norm,
        bf16=settings.bf16,
        torch_compile=settings.compile,
        use_liger_kernel=settings.liger,
        gradient_checkpointing=settings.recompute,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        logging_strategy="no",
        logging_nan_inf_filter=False,  # a look at every loss, which waits for a GPU
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )


class Windows(Dataset[dict[str, torch.Tensor]]):
    """All rows of a job, in its order, in memory."""

    def __init__(self, job: TrainJob) -> None:
        order = build_order(job.data, job.seed)
        self._rows: list[dict[str, torch.Tensor]] = []
        for step in range(order.num_steps):
            batch = order.batch(step)
            for ids, targets in zip(batch.ids_BT, batch.targets_BT, strict=True):
                shifted = torch.from_numpy(targets).long()
                # The last token of a window has a target too, so labels are not shifted again.
                self._rows.append(
                    {
                        "input_ids": torch.from_numpy(ids).long(),
                        "labels": shifted,
                        "shift_labels": shifted,
                    }
                )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        return self._rows[number]


class Clock(TrainerCallback):
    """Takes the time of groups of steps."""

    def __init__(self, baton: Baton | None) -> None:
        self.seconds: list[float] = []
        self.ends: list[float] = []
        """When each group was done."""
        self._since = 0.0
        self._baton = baton

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._since = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note the time of a group when it is done."""
        if state.global_step % EVERY_STEPS == 0:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.ends.append(time.monotonic())
            self.seconds.append(self.ends[-1] - self._since)
            if self._baton:
                self._baton.hand_over()
            self._since = time.monotonic()


class _Trainer(Trainer):
    """Trainer that keeps the rows in their order and remembers the losses."""

    losses: list[torch.Tensor]

    def _get_train_sampler(self, *_: Any) -> SequentialSampler:
        rows: Any = self.train_dataset
        return SequentialSampler(rows)

    def training_step(self, *arguments: Any, **named: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*arguments, **named)
        self.losses.append(loss)
        return loss


def train(job: TrainJob, settings: PeerSettings, clock: Clock) -> list[float]:
    """Run Trainer on the job; return the loss of every step."""
    torch.manual_seed(job.seed)
    assert job.new_model is not None
    model: Any = build_model(job.new_model, seed=job.seed)
    model.set_attn_implementation(settings.attention)
    if settings.liger:
        fuse_loss(model, liger_loss(), torch.bfloat16 if settings.bf16 else torch.float32)
    arguments = trainer_arguments(job, settings)
    model.to(arguments.device)
    # The very optimizer of our side; the group's rate is 1 and the schedule's values its factors.
    optimizer = adamw(model, job)
    for group in optimizer.param_groups:
        group["lr"] = 1.0
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, job.schedule.learning_rate)
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=Windows(job),
        optimizers=(optimizer, schedule),
        callbacks=[clock],
    )
    trainer.losses = []
    trainer.train()
    parts = torch.stack(trainer.losses).double()
    losses: list[float] = parts.view(-1, arguments.gradient_accumulation_steps).sum(1).tolist()
    return losses


def main() -> None:
    """Do the job and write what was measured beside it."""
    began = time.monotonic() - seconds_since_start()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", type=Path)
    parser.add_argument("settings")
    parser.add_argument("--warm-steps", type=int, required=True)
    parser.add_argument("--baton", type=Path, help="folder of the baton that sides pass by turns")
    parser.add_argument("--place", type=int, default=0, help="this side's in the passing")
    arguments = parser.parse_args()
    job = read_job(arguments.job)
    settings = PeerSettings.model_validate_json(arguments.settings)
    torch.set_num_threads(job.execution.threads_per_worker)
    torch.set_float32_matmul_precision(job.matmul_precision)
    baton = Baton(arguments.baton, arguments.place) if arguments.baton else None
    clock = Clock(baton)
    losses = train(job, settings, clock)
    if baton:
        baton.drop()
    on_gpu = job.execution.accelerator == "gpu"
    Measured(
        losses=losses,
        **speeds(clock.seconds, step_tokens(job), arguments.warm_steps),
        peak_bytes=torch.cuda.max_memory_allocated() if on_gpu else peak_resident_bytes("self"),
        start_seconds=clock.ends[arguments.warm_steps // EVERY_STEPS - 1] - began,
    ).write(job.work)


if __name__ == "__main__":
    main()
