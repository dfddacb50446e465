"""A step up to its update: the gradient of the global batch, and what all ranks know of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from polylm_core.training.adapter import set_rows
from polylm_core.training.batch import inputs_of
from polylm_core.training.checkpoint_store import CheckpointStore
from polylm_core.training.dataset import DataOrder
from polylm_core.training.engine import Engine
from polylm_core.training.shares import accumulation
from polylm_core.training.spending import Meter
from polylm_core.worker import WorkerContext


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
    spent: bool
    """Whether the run has cost what it may."""
    copied: bool
    """Whether every rank has copied its part of the last checkpoint."""
    tokens: int
    """Positions of the global batch."""

    @property
    def regroups(self) -> bool:
        """Whether the ranks are to begin again on other machines, once their state is saved."""
        return self.leaving or self.growing


class StepGradient:
    """Computes the gradient of steps, each rank its rows of the global batch."""

    def __init__(
        self,
        engine: Engine,
        order: DataOrder,
        context: WorkerContext,
        checkpoints: CheckpointStore,
        meter: Meter,
        *,
        max_micro_batch: int,
    ) -> None:
        self._engine = engine
        self._order = order
        self._context = context
        self._checkpoints = checkpoints
        self._meter = meter
        self._max_micro_batch = max_micro_batch

    def __call__(self, step: int) -> Gauge:
        """Leave the gradient of the step after `step` steps in the engine."""
        mine = self._order.batch(step, slice(self._context.rank, None, self._context.world_size))
        num_targets = self._order.num_targets(step)
        total = torch.zeros((), dtype=torch.float64, device=self._engine.device)
        size, _ = accumulation(len(mine.ids_BT), 1, self._max_micro_batch)
        for begin in range(0, len(mine.ids_BT), size):
            micro = mine.rows(slice(begin, begin + size))
            numbers = range(begin, begin + len(micro.ids_BT))
            set_rows(
                self._engine.model,
                step,
                [self._context.rank + number * self._context.world_size for number in numbers],
            )
            loss = self._engine.losses(*inputs_of(micro, self._engine.device))
            self._engine.backward(loss / num_targets, last=begin + size >= len(mine.ids_BT))
            total += loss.detach()
        return self._gauge(total / num_targets, tokens=self._order.num_positions(step))

    def _gauge(self, loss: torch.Tensor, *, tokens: int) -> Gauge:
        """Sum over the ranks what each knows: one message for all of it."""
        context = self._context
        flags = (
            context.leaving(),
            context.growing(),
            self._meter.over(),
            not self._checkpoints.copied(),
        )
        told = loss.new_tensor([float(flag) for flag in flags])
        square = self._engine.gradient_square().to(loss)
        sums = torch.cat([torch.stack([loss, square]), told])
        torch.distributed.all_reduce(sums)
        mean, norm_square, leaving, growing, spent, copying = sums.tolist()
        norm = math.sqrt(norm_square) if norm_square >= 0 else math.nan
        return Gauge(mean, norm, leaving > 0, growing > 0, spent > 0, copying == 0, tokens)
