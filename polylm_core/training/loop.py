"""The training loop of one rank: steps, validation, checkpoints, export.

Legend: B sequences, T tokens, V vocabulary entries.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from polylm_core.errors import TrainingError
from polylm_core.storage import exclusive_lock, no_space_named
from polylm_core.training import checkpoint, zero
from polylm_core.training.dataset import IGNORED_TARGET, Batch
from polylm_core.training.job import TrainJob
from polylm_core.training.loss import LanguageModelLoss
from polylm_core.training.metrics import Measurement, MetricsFile
from polylm_core.training.model import build_model, export_model, load_model
from polylm_core.training.order import build_order
from polylm_core.worker import WorkerContext

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


class _Trainer:
    def __init__(self, context: WorkerContext, job: TrainJob) -> None:
        self.context = context
        self.job = job
        self.order = build_order(job.data, job.seed)
        self.metrics = MetricsFile(job.work / "metrics.jsonl")
        self.checkpoints = job.work / "checkpoints"
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.micro_batch, self.accumulation_steps = zero.accumulation(
            job.data.global_batch_windows, context.world_size, job.micro_batch_sequences
        )
        model = (
            build_model(job.new_model, seed=job.seed)
            if job.new_model is not None
            else load_model(_required(job.init_from))
        )
        self.engine = zero.shard(
            LanguageModelLoss(model),
            job,
            micro_batch=self.micro_batch,
            steps=self.accumulation_steps,
        )

    def run(self) -> None:
        """Resume, train, validate at the set steps, checkpoint, export."""
        first = self._resume()
        last = self.order.num_steps
        if first == 0:
            self._record([], 0, validate=True)
        started = time.monotonic()
        for step in range(first, last):
            loss = self._step(step)
            done = step + 1
            if done % REPORT_EVERY_STEPS == 0 or done == last:
                seconds = time.monotonic() - started
                self.context.report(
                    {"step": done, "loss": loss, "seconds_per_step": seconds / (done - first)}
                )
            validate = done % self.job.validate_every_steps == 0 or done == last
            self._record(self._step_rows(done, loss), done, validate=validate)
            if done % self.job.checkpoint_every_steps == 0 or done == last:
                checkpoint.save(self.engine, self.checkpoints, done)
        self._export()

    def _resume(self) -> int:
        found = checkpoint.latest(self.checkpoints)
        step = 0
        if found is not None:
            step, folder = found
            checkpoint.load(self.engine, folder, step)
        if self.context.rank == 0:
            self.metrics.rewind(step if found is not None else -1)
        torch.distributed.barrier()
        return step

    def _step(self, step: int) -> float:
        """Do one optimizer step and return the global batch's mean loss in nats a token."""
        batch = self.order.batch(step)
        world = self.context.world_size
        num_targets = int((batch.targets_BT != IGNORED_TARGET).sum())
        scale = self.accumulation_steps * world / num_targets
        mine = batch.rows(slice(self.context.rank, None, world))
        for group in self.engine.optimizer.param_groups:
            group["lr"] = self.job.schedule.learning_rate(step)
        total = torch.zeros((), device=self.engine.device)
        for begin in range(0, len(mine.ids_BT), self.micro_batch):
            micro = mine.rows(slice(begin, begin + self.micro_batch))
            loss = self._losses(micro)
            self.engine.backward(loss * scale)
            self.engine.step()
            total += loss.detach()
        torch.distributed.all_reduce(total)
        mean = float(total) / num_targets
        if not math.isfinite(mean):
            raise TrainingError(
                f"the loss of step {step + 1} is {mean}; lower the peak learning rate, "
                "or use float32, and run again from the last checkpoint"
            )
        return mean

    def _losses(self, micro: Batch) -> torch.Tensor:
        """Return the summed loss in training, the losses [B, T] in evaluation.

        Segments see neither each other nor each other's places.
        """
        device = self.engine.device
        inputs = [torch.from_numpy(array).to(device) for array in (micro.ids_BT, micro.targets_BT)]
        inputs[1] = inputs[1].long()  # as gathering takes them; the embedding takes int32
        if micro.segments_BT is not None:
            inputs += isolate(torch.from_numpy(micro.segments_BT).to(device))
        losses: torch.Tensor = self.engine(*inputs)
        return losses

    def _step_rows(self, done: int, loss: float) -> list[Measurement]:
        rate = self.job.schedule.learning_rate(done - 1)
        norm = self.engine.get_global_grad_norm()
        return [
            Measurement(done, "loss", "", loss),
            Measurement(done, "learning_rate", "", rate),
            Measurement(done, "gradient_norm", "", float(norm) if norm is not None else 0.0),
        ]

    def _record(self, rows: list[Measurement], done: int, *, validate: bool) -> None:
        if validate and self.job.validation_file is not None:
            rows = [*rows, *self._validate(done)]
        if self.context.rank == 0 and rows:
            self.metrics.append(rows)

    def _validate(self, done: int) -> list[Measurement]:
        """Return held-out bits per byte by language; the ranks share the rows evenly."""
        with np.load(_required(self.job.validation_file), allow_pickle=False) as data:
            rows, language = data["ids"], data["language"]
            segments = data["segments"] if "segments" in data else None
            names, num_bytes = data["languages"], data["bytes"]
        device = self.engine.device
        nats = torch.zeros(len(names), dtype=torch.float64, device=device)
        world, size = self.context.world_size, self.micro_batch
        self.engine.eval()
        with torch.no_grad():
            for begin in range(0, len(rows), size * world):
                start = begin + self.context.rank * size
                chosen = np.arange(start, start + size)
                real = chosen < len(rows)
                chosen = np.where(real, chosen, 0)
                apart = None if segments is None else segments[chosen]
                scored = Batch(rows[chosen, :-1], rows[chosen, 1:], apart)
                losses = self._losses(scored).double().sum(1)
                losses[torch.from_numpy(~real).to(device)] = 0.0
                nats.index_add_(0, torch.from_numpy(language[chosen]).to(device), losses)
        self.engine.train()
        torch.distributed.all_reduce(nats)
        return [
            Measurement(done, "bits_per_byte", str(name), value / math.log(2) / float(size_bytes))
            for name, value, size_bytes in zip(names, nats.tolist(), num_bytes, strict=True)
        ]

    def _export(self) -> None:
        state = zero.gathered_state(self.engine)
        if state is not None:
            folder = self.job.work / "export"
            with no_space_named(folder):
                export_model(self.engine.module.model, state, folder)
        torch.distributed.barrier()


def isolate(segments_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mask [B, 1, T, T] and positions [B, T] that keep the segments of rows apart.

    A position sees itself and the earlier positions of its own segment; positions count from 0
    within a segment, as they will when the chat or document stands alone.
    """
    length = segments_BT.shape[1]
    causal_TT = torch.ones(length, length, dtype=torch.bool, device=segments_BT.device).tril()
    same_BTT = segments_BT[:, :, None] == segments_BT[:, None, :]
    mask_B1TT = (same_BTT & causal_TT)[:, None]
    positions_BT = (same_BTT & causal_TT).sum(-1) - 1
    return mask_B1TT, positions_BT


def _required(path: Any) -> Any:
    if path is None:
        raise TrainingError("the job names neither a model to build nor a folder to load")
    return path
