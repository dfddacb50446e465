"""False alarms of the step guard, and what it catches: `python -m benchmarks.guard`.

Curves of real training (`tests/data/curves`) are judged step by step, by our guard and by the rules
of others on the same numbers: how many clean steps are called anomalies, and how many spoiled
batches and faults of the memory are caught in their very step. What is planted is put to the rule
at the step it was recorded at and does not count for the steps after. Tiny batches are those of
less than 512 tokens: their losses are as noisy as spoiled ones are high. Ends with status 1 when
our guard calls a clean step an anomaly, or catches fewer than 98 of 100 batches of noise, of
another tokenizer's ids or of one token that are not tiny. `--quick` takes the first third of each
curve, and keeps no result.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Protocol

import numpy as np

from benchmarks.results import tell
from polylm_core.training.guard import GuardOptions, StepGuard

CURVES = Path(__file__).parents[1] / "tests" / "data" / "curves" / "curves.npz"
SPOILED = ("noise", "recoded", "repeated")
"""Kinds of which every sequence of the batch is spoiled beyond doubt."""
FLOOR_CAUGHT = 0.98
TINY = ("llama, four windows", "hot")
"""Runs of 256 tokens a step."""
PACKAGES = ("polylm",)


@dataclass(frozen=True)
class Planted:
    """What a step would have shown with a spoiled batch or a fault."""

    kind: str
    loss: float
    gradient_norm: float


@dataclass(frozen=True)
class Curve:
    """One recorded run; steps count from 1."""

    run: str
    values: list[tuple[float, float]]
    """Loss and gradient norm of each step."""
    borders: list[int]
    """First steps of the later curriculum stages."""
    planted: dict[int, list[Planted]]
    """By step."""


def read_curves(share: float = 1.0) -> list[Curve]:
    """Return the first share of every recorded run."""
    with np.load(CURVES, allow_pickle=False) as file:
        kinds = file["kinds"].tolist()
        runs = dict.fromkeys(name.partition("/")[0] for name in file.files if "/" in name)
        curves = []
        for run in runs:
            values = file[f"{run}/curve"].tolist()
            values = [(loss, norm) for loss, norm in values[: math.ceil(len(values) * share)]]
            planted = defaultdict(list)
            for step, kind, loss, norm in file[f"{run}/planted"].tolist():
                planted[int(step)].append(Planted(kinds[int(kind)], loss, norm))
            curves.append(Curve(run, values, file[f"{run}/borders"].tolist(), planted))
    return curves


class Rule(Protocol):
    """Says of step after step whether it is an anomaly."""

    def alarm(self, step: int, loss: float, gradient_norm: float) -> bool:
        """Judge a step; it counts for the steps after."""


class Ours:
    """The guard as it is set by default."""

    def __init__(self, curve: Curve) -> None:
        self.guard = StepGuard(GuardOptions(), curve.borders)

    def alarm(self, step: int, loss: float, gradient_norm: float) -> bool:
        """Judge a step."""
        return self.guard.check(step, loss, gradient_norm) is not None


@dataclass
class SixSigma:
    """OLMo-core: 6 standard deviations from the mean of 128 steps, after 64, up or down."""

    curve: Curve
    both_ways: bool = True
    past: list[tuple[float, float]] = field(default_factory=list)

    def alarm(self, step: int, loss: float, gradient_norm: float) -> bool:
        """Judge a step."""
        found = not (math.isfinite(loss) and math.isfinite(gradient_norm))
        if len(self.past) >= 63:  # 64 with this one
            for metric, value in enumerate((loss, gradient_norm)):
                window = [values[metric] for values in self.past[-128:]]
                away = value - fmean(window)
                found |= (abs(away) if self.both_ways else away) > 6 * stdev(window)
        if math.isfinite(loss) and math.isfinite(gradient_norm):
            self.past.append((loss, gradient_norm))
        return found


class Upwards(SixSigma):
    """Levanter: as OLMo-core, but only up."""

    def __init__(self, curve: Curve) -> None:
        super().__init__(curve, both_ways=False)


@dataclass
class TenTimes:
    """Megatron-LM: no finite number, or ten times the highest loss of the first 100 steps."""

    curve: Curve
    highest: float = 0.0

    def alarm(self, step: int, loss: float, gradient_norm: float) -> bool:
        """Judge a step."""
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            return True
        if step <= 100:
            self.highest = max(self.highest, loss)
        return step > 100 and loss > 10 * self.highest


RULES: dict[str, Callable[[Curve], Rule]] = {
    "polylm": Ours,
    "OLMo-core": SixSigma,
    "Levanter": Upwards,
    "Megatron-LM": TenTimes,
}


def measure(build: Callable[[Curve], Rule], curves: Sequence[Curve]) -> dict[str, Any]:
    """Put all curves to a rule; return its false alarms and the share it caught of each kind."""
    alarms = 0
    caught: dict[str, list[bool]] = defaultdict(list)
    for curve in curves:
        rule = build(curve)
        planted = curve.planted
        for step, (loss, norm) in enumerate(curve.values, start=1):
            for bad in planted.get(step, ()):
                kind = f"{bad.kind}, tiny batch" if curve.run in TINY else bad.kind
                found = copy.deepcopy(rule).alarm(step, bad.loss, bad.gradient_norm)
                caught[kind].append(found)
            alarms += rule.alarm(step, loss, norm)
    shares = {kind: round(sum(found) / len(found), 3) for kind, found in sorted(caught.items())}
    return {"false_alarms": alarms, "caught": shares}


def margins(curves: Sequence[Curve]) -> dict[str, float]:
    """Return the highest score of a clean step and of the planted ones the lowest; 1 alarms."""
    clean, planted = [0.0], [math.inf]
    for curve in curves:
        guard = StepGuard(GuardOptions(), curve.borders)
        for step, (loss, norm) in enumerate(curve.values, start=1):
            for bad in planted_of(curve, step):
                score = guard.score(step, bad.loss, bad.gradient_norm)
                planted.append(score)
            clean.append(guard.score(step, loss, norm))
            guard.check(step, loss, norm)
    return {"highest_clean": round(max(clean), 2), "lowest_spoiled": round(min(planted), 2)}


def planted_of(curve: Curve, step: int) -> list[Planted]:
    """Return what was planted at a step that no rule should miss."""
    if curve.run in TINY:
        return []
    return [bad for bad in curve.planted.get(step, ()) if bad.kind in SPOILED]


def main() -> int:
    """Judge the curves by every rule; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick: bool = parser.parse_args().quick
    curves = read_curves(1 / 3 if quick else 1.0)
    found = {name: measure(build, curves) for name, build in RULES.items()}
    result = {
        "quick": quick,
        "runs": len(curves),
        "clean_steps": sum(len(curve.values) for curve in curves),
        "scores": margins(curves),
        "rules": found,
    }
    tell("guard", result, PACKAGES, keep=not quick)
    ours = found["polylm"]
    missed = [kind for kind in SPOILED if ours["caught"][kind] < FLOOR_CAUGHT]
    return int(bool(ours["false_alarms"] or missed))


if __name__ == "__main__":
    sys.exit(main())
