"""Steps that would harm the model: no finite loss or gradient, no gradient at all, or a spike.

In: the loss and the gradient norm of a step over all ranks, before the optimizer's update. Out: an
anomaly, or none. A loss spike cost PolyLM-13B days (§3.3); clipping bounds the size of an update
and not where it leads. A gradient of exactly zero is what a flipped bit in an embedding leaves of a
Llama: the norms after it scale everything else to nothing.

Both values are judged as logarithms. A step's excess is how far it lies above the median of the
`LEVEL_STEPS` good steps before it, so a falling curve has no trend left. Its z is robust, as one
spike among the steps before would hide the next from a standard deviation:

    z = (excess - median of excesses) / sigma
    sigma = max(1.4826 * MAD of excesses, (their 95th percentile - median) / 1.645, SCALE_FLOOR)

over the good steps of the window. Both terms are the standard deviation of normal noise; gradient
norms have more high outliers than that, which the second one sees. Only what lies too high counts:
a step is an anomaly when

    (z of the loss / loss_z)^2 + (z of the gradient norm / gradient_z)^2 > 1

A spoiled batch raises both, so that together they tell it from a noisy one earlier than either
does. The window is that of OLMo-core and Levanter (128 steps; they drop a step for which either
value is 6 standard deviations from the mean). The thresholds are from recorded curves of real
training (`benchmarks/guard.py`).

Nothing is remembered but the metrics of good steps, so a run that starts again from its metrics
judges as the run before did; and all ranks judge alike, as they are given the same numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
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
UPPER_SHARE, UPPER_SIGMAS = 0.95, 1.645
"""A normal distribution's 95th percentile lies so many standard deviations above its median."""
LEAST_VALUE = 1e-12
"""What a loss of zero counts as."""

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
    loss_z: float = Field(default=6.0, gt=0)
    """Robust standard deviations above its level at which the loss alone makes an anomaly."""
    gradient_z: float = Field(default=12.0, gt=0)
    """The same for the gradient's norm before clipping, which has more outliers."""
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
    """The one that lies further out."""
    value: float
    level: float | None
    """Median of the steps before it; none for a value that is wrong whatever they were."""
    z: float | None
    """Robust standard deviations above the level; none likewise."""
    score: float | None
    """How far out both lie together, 1 being the limit; none likewise."""


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

    def share(self, value: float) -> float:
        """Return a value's robust z over the threshold; 0 while there is too little to judge by."""
        if len(self._excesses) < self._least:
            return 0.0
        ordered = sorted(self._excesses)
        middle = median(ordered)
        deviation = median([abs(excess - middle) for excess in ordered])
        upper = ordered[int(UPPER_SHARE * (len(ordered) - 1))] - middle
        sigma = max(MAD_TO_SIGMA * deviation, upper / UPPER_SIGMAS, SCALE_FLOOR)
        excess = _logarithm(value) - median(self._levels)
        return (excess - middle) / sigma / self.threshold

    def add(self, value: float) -> None:
        logarithm = _logarithm(value)
        if len(self._levels) == LEVEL_STEPS:
            self._excesses.append(logarithm - median(self._levels))
        self._levels.append(logarithm)


def _logarithm(value: float) -> float:
    return math.log(max(value, LEAST_VALUE))


def _is_sound(metric: Metric, value: float) -> bool:
    return math.isfinite(value) and (value > 0 or metric == "loss")


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
                guard._add(row.step, {"loss": losses[row.step], "gradient_norm": row.value})
        return guard

    def check(self, step: int, loss: float, gradient_norm: float) -> Anomaly | None:
        """Judge a step before its update; one that passes is what later steps are judged by."""
        values: dict[Metric, float] = {"loss": loss, "gradient_norm": gradient_norm}
        for metric, value in values.items():
            if not _is_sound(metric, value):
                return Anomaly(step, metric, value, level=None, z=None, score=None)
        shares = self._shares(step, values)
        if (score := math.hypot(*shares.values())) > 1:
            worst = max(shares, key=lambda metric: shares[metric])
            judge = self._judges[worst]
            z = judge.threshold * shares[worst]
            return Anomaly(step, worst, values[worst], level=judge.level, z=z, score=score)
        self._add(step, values)
        return None

    def score(self, step: int, loss: float, gradient_norm: float) -> float:
        """Return how far out a step lies, 1 being the limit, and let it count for nothing."""
        values: dict[Metric, float] = {"loss": loss, "gradient_norm": gradient_norm}
        if not all(_is_sound(metric, value) for metric, value in values.items()):
            return math.inf
        return math.hypot(*self._shares(step, values).values())

    def _shares(self, step: int, values: Mapping[Metric, float]) -> dict[Metric, float]:
        """Return each metric's z over its threshold; 0 below the level or without a measure."""
        if self._stage(step) != self._stage(self.last_good):
            return dict.fromkeys(values, 0.0)
        return {name: max(0.0, self._judges[name].share(value)) for name, value in values.items()}

    def _begin(self) -> None:
        self._judges: dict[Metric, _Judge] = {
            "loss": _Judge(self._options, self._options.loss_z),
            "gradient_norm": _Judge(self._options, self._options.gradient_z),
        }

    def _stage(self, step: int) -> int:
        return bisect_right(self._borders, step)

    def _add(self, step: int, values: Mapping[Metric, float]) -> None:
        if self._stage(step) != self._stage(self.last_good):
            self._begin()
        for metric, value in values.items():
            self._judges[metric].add(value)
        self.last_good = step
