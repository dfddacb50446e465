"""The learning rate of a step: linear warm-up, then cosine decay (PolyLM §3.3)."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict


class Schedule(BaseModel):
    """A learning rate for every step of a run of `num_steps`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_steps: int
    warmup_steps: int
    start: float
    """Learning rate the warm-up rises from; PolyLM begins at 1e-7."""
    peak: float
    final: float
    """Learning rate the cosine ends at; PolyLM ends at 10 % of the peak."""

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of `step`, counted from 0."""
        if step < self.warmup_steps:
            return self.start + (self.peak - self.start) * (step + 1) / self.warmup_steps
        decay_steps = max(1, self.num_steps - self.warmup_steps)
        progress = min(1.0, (step - self.warmup_steps + 1) / decay_steps)
        return self.final + (self.peak - self.final) * 0.5 * (1.0 + math.cos(math.pi * progress))
