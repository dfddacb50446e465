"""The training loop of one rank: steps, what is measured of them, checkpoints, export."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from polylm_core.errors import TrainingError
from polylm_core.loading import importing
from polylm_core.storage import exclusive_lock
from polylm_core.training import checkpoint, throughput
from polylm_core.training.checkpoint_store import LONGEST_COPY, CheckpointStore
from polylm_core.training.engine import Engine
from polylm_core.training.events import Events
from polylm_core.training.export import LONGEST_WAIT, Weights, export
from polylm_core.training.flops import peak_tokens_per_second
from polylm_core.training.guard import Anomaly
from polylm_core.training.interpolate import interpolate
from polylm_core.training.job import TrainJob
from polylm_core.training.logs import logged
from polylm_core.training.metrics import Measurement, MetricsFile
from polylm_core.training.model import build, empty_for, initial_values
from polylm_core.training.order import build_order
from polylm_core.training.prepare import device_type
from polylm_core.training.recovery import Recovery
from polylm_core.training.shares import accumulation
from polylm_core.training.spending import Meter
from polylm_core.training.step import Gauge, StepGradient
from polylm_core.training.validation import validate
from polylm_core.training.watchdog import Watchdog
from polylm_core.worker import SAVED, Regroup, WorkerContext

TRAINER_LOCK_SECONDS = 300.0
"""How long a new trainer waits for a dying one to let go of the run's folder: a lost machine's lock
on NFS lasts for its lease, 90 s by default."""


def train_rank(context: WorkerContext, config: Mapping[str, Any]) -> None:
    """Train on this rank from the last whole checkpoint to the end, and export.

    Raises LockedError when a living trainer already holds the run's folder, TrainingError when too
    many steps had to be left out, StageError when the run has cost what it may.
    """
    job = TrainJob.model_validate(config)
    account, storage = job.account or job.work, job.execution.checkpoints.storage
    torch.set_float32_matmul_precision(job.matmul_precision)
    lock = job.work / f"trainer-{context.rank}.lock"
    watchdog = Watchdog(
        job.work / "stacks", context.rank, step_seconds=job.execution.step_deadline_seconds
    )
    with (
        exclusive_lock(lock, what=str(job.work), wait_seconds=TRAINER_LOCK_SECONDS),
        logged(job.work / "logs" / f"rank-{context.rank}.log"),
        watchdog,
        Meter(account, context, job.execution.budget, storage) as meter,
    ):
        _Trainer(context, job, watchdog, meter).run()


class _Trainer:
    def __init__(
        self, context: WorkerContext, job: TrainJob, watchdog: Watchdog, meter: Meter
    ) -> None:
        self.context = context
        self.job = job
        self.watchdog = watchdog
        self.meter = meter
        leads = context.rank == 0
        self.order = build_order(job.data, job.seed)
        self.metrics = MetricsFile(job.work / "metrics.jsonl")
        self.events = Events(job.work / "events.jsonl", writes=leads)
        self.checkpoints = CheckpointStore(
            job.work, job.execution.checkpoints, self.events, job.account
        )
        self.micro_batch, steps = accumulation(
            job.data.global_batch_windows, context.world_size, job.execution.micro_batch_sequences
        )
        with watchdog.work("building the model"):
            self.engine = _engine(job, micro_batch=self.micro_batch, steps=steps)
        self.gradient = StepGradient(
            self.engine,
            self.order,
            context,
            self.checkpoints,
            meter,
            max_micro_batch=job.execution.micro_batch_sequences,
        )
        self.recovery = Recovery(job, leads=leads, events=self.events)
        self.throughput = throughput.Throughput(
            job.work / "throughput.jsonl",
            writes=leads,
            device=self.engine.device,
            peak_tokens_per_second=self._peak_speed() if leads else None,
        )
        self.saved = 0

    def run(self) -> None:
        """Resume, do the steps, export."""
        step = self._resume()
        if step == 0:
            with self.watchdog.work("validation"):
                self._record([], 0, validates=True)
        self.throughput.pause()
        while step < self.order.num_steps:
            step = self._advance(step)
        self._finish_copy()
        with self.watchdog.work("export", seconds=LONGEST_WAIT.total_seconds()):
            self._export()

    def _resume(self) -> int:
        """Go back to the newest checkpoint that counts, and forget what was measured after it."""
        with self.watchdog.work("resuming"):
            found = self.checkpoints.restore(self.engine, counts=self.recovery.counts)
            step = found or 0
            self.saved = step
            if self.context.rank == 0:
                reached = self.metrics.rewind(found if found is not None else -1)
                again = max(0, reached - step)
                world_size = self.context.world_size
                self.events.add("start", step, world_size=world_size, steps_again=again)
            self.recovery.start(self.metrics)
            torch.distributed.barrier()
        return step

    def _goes_back(self, anomaly: Anomaly) -> bool:
        with self.watchdog.work("writing down what is left out"):
            return self.recovery.respond(anomaly, self.checkpoints.steps())

    def _go_back(self) -> int:
        """Resume after an anomaly; raises TrainingError when no checkpoint is there any more."""
        step = self._resume()
        if step == 0:  # nothing was restored: the engine still has the weights to get rid of
            raise TrainingError(
                f"{self.checkpoints.folder} has no checkpoint any more, so the run cannot go back "
                "to before its anomalies; run again to train from the first step"
            )
        return step

    def _advance(self, step: int) -> int:
        """Do, or leave out, the step after `step` steps; return how many are then behind the run.

        They are fewer than before when an anomaly sends the run back to a checkpoint.
        """
        done = step + 1
        rows: list[Measurement] = []
        gauge = None
        if not self.recovery.leaves_out(done):
            with self.watchdog.step(done):
                gauge = self.gradient(step)
                self.throughput.count(gauge.tokens)
                anomaly = self.recovery.judge(done, gauge)
                if anomaly is None:
                    self.engine.update(self.job.schedule.learning_rate(step), gauge.gradient_norm)
                    rows = self._step_rows(done, gauge)
                else:
                    self.engine.drop()
            if anomaly is not None and self._goes_back(anomaly):
                return self._go_back()
        self._conclude(done, rows, gauge)
        return done

    def _conclude(self, done: int, rows: list[Measurement], gauge: Gauge | None) -> None:
        """Tell, measure and save what is due after a step."""
        last = done == self.order.num_steps
        if gauge is not None and (done % throughput.EVERY_STEPS == 0 or last):
            speed = self.throughput.measure(done)
            self.context.report({"step": done, "loss": gauge.loss, **speed, SAVED: self.saved})
        leaving = gauge is not None and gauge.leaving
        spent = gauge is not None and gauge.spent
        validates = done % self.job.validate_every_steps == 0 or last
        # Between a checkpoint that the run went back to and its next step nothing new is saved.
        due = done % self.job.execution.checkpoints.every_steps == 0 and self.recovery.counts(done)
        saves = leaving or spent or last or due
        copied = self.checkpoints.copying and gauge is not None and gauge.copied
        if not (validates or saves or copied):
            self._record(rows, done, validates=False)
            return
        if copied or saves:
            self._finish_copy()
        with self.watchdog.work("validation and checkpoint"):
            self._record(rows, done, validates=validates)
            if leaving:
                self.events.add("machine-leaving", done)
            if saves:
                self.metrics.keep()
                self.meter.write()
                self.checkpoints.save(self.engine, done)
                self.saved = done
        if saves and not last and gauge is not None and (spent or gauge.regroups):
            self._finish_copy()  # a machine that leaves takes its disk with it
            self.events.add("budget-spent" if spent else "regroup", done)
            raise self.meter.refusal() if spent else Regroup
        self.throughput.pause()

    def _finish_copy(self) -> None:
        with self.watchdog.work("copying a checkpoint", seconds=LONGEST_COPY.total_seconds()):
            self.checkpoints.finish_copy()

    def _peak_speed(self) -> float | None:
        """Tokens a second of all ranks at the peak of their GPUs, where it is known."""
        if self.job.execution.accelerator != "gpu":
            return None
        with torch.device("meta"):
            model = empty_for(self.job)
        context_tokens = self.order.batch(0, slice(1)).ids_BT.shape[1]
        return peak_tokens_per_second(model, context_tokens, world_size=self.context.world_size)

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
        last, share = self.order.num_steps, self.job.tuned_share

        def weights() -> Weights:
            return self.checkpoints.weights(last)

        if share is None:
            export(self.engine, self.job, weights)
            return
        base = initial_values(self.job, self.engine.model)
        folder = checkpoint.folder_of(self.checkpoints.folder, last)
        between = interpolate(self.engine, base, folder, weights, share)
        export(self.engine, self.job, between)


def _engine(job: TrainJob, *, micro_batch: int, steps: int) -> Engine:
    if job.execution.sharding == "none":
        from polylm_core.training.whole import WholeEngine

        return WholeEngine(build(job), job)
    # DeepSpeed asks when it is imported, and else takes a GPU wherever it sees one.
    os.environ["DS_ACCELERATOR"] = device_type(job)
    with importing():
        from polylm_core.training.sharded import ShardedEngine  # DeepSpeed costs seconds

    return ShardedEngine(job, micro_batch=micro_batch, steps=steps)
