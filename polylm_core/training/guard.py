"""Steps that would harm the model: no finite loss or gradient, or a spike of either.

In: the loss and the gradient norm of a step over all ranks, before the optimizer's update. Out: an
anomaly, or none. A loss spike cost PolyLM-13B days (§3.3); clipping bounds the size of an update
and not where it leads.

Both values are judged as logarithms. A step's excess is how far it lies above the median of the
`LEVEL_STEPS` good steps before it, so a falling curve has no trend left. Its score is robust, as
one spike among the steps before would hide the next from a standard deviation:

    z = (excess - median of excesses) / max(1.4826 * MAD of excesses, SCALE_FLOOR)

over the good steps of the window. Only steps that lie too high are anomalies. The window is
OLMo-core's and Levanter's (128 steps; they skip beyond 6 standard deviations, in either direction).

Nothing is remembered but the metrics of good steps, so a run that starts again from its metrics
judges as the run before did; and all ranks judge alike, as they are given the same numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from polylm_core.training.metrics import Measurement

LEVEL_STEPS = 16
"""Good steps whose median is the level that a step is compared with."""
SCALE_FLOOR = 0.01
"""Least noise of a logarithm: curves that hardly move have no spikes of a few per cent."""
MAD_TO_SIGMA = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation."""
LEAST_VALUE = 1e-12
"""What a loss or norm of zero counts as."""

Metric = Literal["loss", "gradient_norm"]


class GuardOptions(BaseModel):
    """When a step of training is an anomaly, and how many are borne."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    window_steps: int = Field(default=128, ge=2 * LEVEL_STEPS)
    """Good steps that a step is judged by (OLMo-core's rolling interval)."""
    min_history_steps: int = Field(default=48, ge=2 * LEVEL_STEPS)
    """Good steps of a curriculum stage before its spikes are judged."""
    loss_z: float = Field(default=8.0, gt=0)
    """A loss that lies so many robust standard deviations above its level is a spike."""
    gradient_z: float = Field(default=8.0, gt=0)
    """The same for the gradient's norm before clipping."""
    rollback_after_steps: int = Field(default=5, ge=2)
    """So many anomalies one after the other send the run back to a checkpoint (`skips.py`)."""
    max_skipped_steps: int = Field(default=1000, ge=0)
    """Steps a run may leave out before it ends with an error; PaLM left out 200 to 500 for each of
    about 20 spikes (section 5.1)."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A step whose gradient must not reach the weights."""

    step: int
    """Counted from 1, as in the curves."""
    metric: Metric
    value: float
    level: float | None
    """Median of the steps before it; none where the value is not finite."""
    z: float | None
    """Robust standard deviations above the level; none where the value is not finite."""


class _Judge:
    """One metric's good steps of the current stage."""

    def __init__(self, options: GuardOptions, threshold: float) -> None:
        self.threshold = threshold
        self._least = options.min_history_steps - LEVEL_STEPS
        self._levels: deque[float] = deque(maxlen=LEVEL_STEPS)
        self._excesses: deque[float] = deque(maxlen=options.window_steps)

    @property
    def level(self) -> float:
        return math.exp(median(self._levels))

    def score(self, value: float) -> float | None:
        """Return the robust z of a value; none as long as there is too little to judge by."""
        if len(self._excesses) < self._least:
            return None
        middle = median(self._excesses)
        deviation = median([abs(excess - middle) for excess in self._excesses])
        excess = _logarithm(value) - median(self._levels)
        return (excess - middle) / max(MAD_TO_SIGMA * deviation, SCALE_FLOOR)

    def add(self, value: float) -> None:
        logarithm = _logarithm(value)
        if len(self._levels) == LEVEL_STEPS:
            self._excesses.append(logarithm - median(self._levels))
        self._levels.append(logarithm)


def _logarithm(value: float) -> float:
    return math.log(max(value, LEAST_VALUE))


class StepGuard:
    """Judges the steps of a run in their order."""

    def __init__(self, options: GuardOptions, borders: Sequence[int] = ()) -> None:
        """`borders` are the first steps of the later curriculum stages, counted from 1.

        There the text changes and the loss with it, so the steps before are no measure any more.
        """
        self._options = options
        self._borders = sorted(borders)
        self.last_good = 0
        """The last step that was let through; 0 before the first."""
        self._begin()

    @classmethod
    def resumed(
        cls, options: GuardOptions, borders: Sequence[int], measured: Iterable[Measurement]
    ) -> StepGuard:
        """Return the guard of a run that measured this: its good steps, up to where it stands."""
        guard = cls(options, borders)
        losses: dict[int, float] = {}
        for row in measured:
            if row.metric == "loss":
                losses[row.step] = row.value
            elif row.metric == "gradient_norm":
                guard._add(row.step, losses[row.step], row.value)
        return guard

    def check(self, step: int, loss: float, gradient_norm: float) -> Anomaly | None:
        """Judge a step before its update; one that passes is what later steps are judged by."""
        if self._stage(step) != self._stage(self.last_good):
            self._begin()
        seen: tuple[tuple[Metric, float, _Judge], ...] = (
            ("loss", loss, self._loss),
            ("gradient_norm", gradient_norm, self._norm),
        )
        for metric, value, _ in seen:
            if not math.isfinite(value):
                return Anomaly(step, metric, value, level=None, z=None)
        for metric, value, judge in seen:
            z = judge.score(value)
            if z is not None and z > judge.threshold:
                return Anomaly(step, metric, value, level=judge.level, z=z)
        self._add(step, loss, gradient_norm)
        return None

    def _begin(self) -> None:
        self._loss = _Judge(self._options, self._options.loss_z)
        self._norm = _Judge(self._options, self._options.gradient_z)

    def _stage(self, step: int) -> int:
        return bisect_right(self._borders, step)

    def _add(self, step: int, loss: float, gradient_norm: float) -> None:
        if self._stage(step) != self._stage(self.last_good):
            self._begin()
        self._loss.add(loss)
        self._norm.add(gradient_norm)
        self.last_good = step
