"""The training loop of one rank: steps, validation, checkpoints, export."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from polylm_core.errors import TrainingError
from polylm_core.storage import exclusive_lock, no_space_named
from polylm_core.training.batch import inputs_of
from polylm_core.training.checkpoint_store import CheckpointStore
from polylm_core.training.dataset import IGNORED_TARGET
from polylm_core.training.engine import Engine, accumulation
from polylm_core.training.events import Events
from polylm_core.training.job import TrainJob
from polylm_core.training.metrics import Measurement, MetricsFile
from polylm_core.training.model import build_model, export_model, load_model
from polylm_core.training.order import build_order
from polylm_core.training.validation import validate
from polylm_core.worker import SAVED, Regroup, WorkerContext

REPORT_EVERY_STEPS = 5
TRAINER_LOCK_SECONDS = 60.0
"""How long a new trainer waits for a dying one to let go of the run's folder."""


def train_rank(context: WorkerContext, config: Mapping[str, Any]) -> None:
    """Train on this rank from the last whole checkpoint to the end, and export.

    Raises LockedError when a living trainer already holds the run's folder, TrainingError when a
    step has no finite loss.
    """
    job = TrainJob.model_validate(config)
    torch.set_float32_matmul_precision(job.matmul_precision)
    lock = job.work / f"trainer-{context.rank}.lock"
    with exclusive_lock(lock, what=str(job.work), wait_seconds=TRAINER_LOCK_SECONDS):
        _Trainer(context, job).run()


@dataclass(frozen=True)
class Gauge:
    """What all ranks know of a step before its update."""

    loss: float
    """Mean over the global batch, nats a token."""
    gradient_norm: float
    """Of the whole gradient, before clipping."""
    leaving: bool
    """Whether a machine has been told that it will be taken away."""
    growing: bool
    """Whether there are machines for more ranks."""
    copied: bool
    """Whether every rank has copied its part of the last checkpoint."""


class _Trainer:
    def __init__(self, context: WorkerContext, job: TrainJob) -> None:
        self.context = context
        self.job = job
        self.order = build_order(job.data, job.seed)
        self.metrics = MetricsFile(job.work / "metrics.jsonl")
        self.events = Events(job.work / "events.jsonl", writes=context.rank == 0)
        self.checkpoints = CheckpointStore(job.work, job.execution.checkpoints, self.events)
        self.micro_batch, self.accumulation_steps = accumulation(
            job.data.global_batch_windows,
            context.world_size,
            job.execution.micro_batch_sequences,
        )
        self.engine = self._engine()
        self.saved = 0

    def _engine(self) -> Engine:
        job = self.job
        model = (
            build_model(job.new_model, seed=job.seed)
            if job.new_model is not None
            else load_model(_required(job.init_from))
        )
        if job.execution.sharding == "none":
            from polylm_core.training.whole import WholeEngine

            return WholeEngine(model, job)
        from polylm_core.training.sharded import ShardedEngine  # DeepSpeed costs seconds

        return ShardedEngine(
            model, job, micro_batch=self.micro_batch, steps=self.accumulation_steps
        )

    def run(self) -> None:
        """Resume, train, validate at the set steps, checkpoint, export."""
        first = self._resume()
        last = self.order.num_steps
        if first == 0:
            self._record([], 0, validates=True)
        started = time.monotonic()
        for step in range(first, last):
            gauge = self._step(step)
            done = step + 1
            if done % REPORT_EVERY_STEPS == 0 or done == last:
                seconds = (time.monotonic() - started) / (done - first)
                report = {"step": done, "loss": gauge.loss, "seconds_per_step": seconds}
                self.context.report({**report, SAVED: self.saved})
            validates = done % self.job.validate_every_steps == 0 or done == last
            self._record(self._step_rows(done, gauge), done, validates=validates)
            self._keep(done, gauge, last=last)
        self.checkpoints.finish_copy()
        self._export()

    def _resume(self) -> int:
        found = self.checkpoints.restore(self.engine)
        step = found or 0
        self.saved = step
        if self.context.rank == 0:
            reached = self.metrics.rewind(found if found is not None else -1)
            again = max(0, reached - step)
            self.events.add("start", step, world_size=self.context.world_size, steps_again=again)
        torch.distributed.barrier()
        return step

    def _keep(self, done: int, gauge: Gauge, *, last: int) -> None:
        """Save when it is time, or when a machine is about to go."""
        if gauge.copied:
            self.checkpoints.finish_copy()
        due = done % self.job.execution.checkpoints.every_steps == 0 or done == last
        if gauge.leaving:
            self.events.add("machine-leaving", done)
        if due or gauge.leaving:
            self.checkpoints.save(self.engine, done)
            self.saved = done
        if done < last and (gauge.leaving or (due and gauge.growing)):
            self.checkpoints.finish_copy()  # a machine that leaves takes its disk with it
            self.events.add("regroup", done)
            raise Regroup

    def _step(self, step: int) -> Gauge:
        """Do one optimizer step."""
        batch = self.order.batch(step)
        num_targets = int((batch.targets_BT != IGNORED_TARGET).sum())
        mine = batch.rows(slice(self.context.rank, None, self.context.world_size))
        total = torch.zeros((), dtype=torch.float64, device=self.engine.device)
        size = self.micro_batch
        for begin in range(0, len(mine.ids_BT), size):
            micro = mine.rows(slice(begin, begin + size))
            loss = self.engine.losses(*inputs_of(micro, self.engine.device))
            self.engine.backward(loss / num_targets, last=begin + size >= len(mine.ids_BT))
            total += loss.detach()
        gauge = self._gauge(total / num_targets)
        if not (math.isfinite(gauge.loss) and math.isfinite(gauge.gradient_norm)):
            raise TrainingError(
                f"the loss of step {step + 1} is {gauge.loss}, its gradient's norm "
                f"{gauge.gradient_norm}; lower the peak learning rate, or use float32, "
                "and run again from the last checkpoint"
            )
        self.engine.update(self.job.schedule.learning_rate(step), gauge.gradient_norm)
        return gauge

    def _gauge(self, loss: torch.Tensor) -> Gauge:
        """Sum over the ranks what each knows: one message for all of it."""
        context = self.context
        flags = (context.leaving(), context.growing(), not self.checkpoints.copied())
        told = loss.new_tensor([float(flag) for flag in flags])
        sums = torch.cat([torch.stack([loss, self.engine.gradient_square().to(loss)]), told])
        torch.distributed.all_reduce(sums)
        mean, square, leaving, growing, copying = sums.tolist()
        norm = math.sqrt(square) if square >= 0 else square
        return Gauge(mean, norm, leaving > 0, growing > 0, copying == 0)

    def _step_rows(self, done: int, gauge: Gauge) -> list[Measurement]:
        rate = self.job.schedule.learning_rate(done - 1)
        return [
            Measurement(done, "loss", "", gauge.loss),
            Measurement(done, "learning_rate", "", rate),
            Measurement(done, "gradient_norm", "", gauge.gradient_norm),
        ]

    def _record(self, rows: list[Measurement], done: int, *, validates: bool) -> None:
        if validates and self.job.validation_file is not None:
            found = validate(
                self.engine,
                self.job.validation_file,
                done=done,
                rank=self.context.rank,
                world_size=self.context.world_size,
                micro_batch=self.micro_batch,
            )
            rows = [*rows, *found]
        if self.context.rank == 0 and rows:
            self.metrics.append(rows)

    def _export(self) -> None:
        if self.context.rank == 0:
            folder = self.job.work / "export"
            with no_space_named(folder):
                state = dict(self.checkpoints.weights(self.order.num_steps))
                export_model(self.engine.model, state, folder)
        torch.distributed.barrier()


def _required(path: Any) -> Any:
    if path is None:
        raise TrainingError("the job names neither a model to build nor a folder to load")
    return path
