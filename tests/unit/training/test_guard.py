"""The guard on curves of real training: silent on clean steps, in time for spoiled ones."""

from __future__ import annotations

import math
from functools import cache

import pytest

from benchmarks.guard import SPOILED, TINY, Curve, read_curves
from polylm_core.training.guard import Anomaly, GuardOptions, StepGuard
from polylm_core.training.metrics import Measurement

OPTIONS = GuardOptions()
RUNS = [curve.run for curve in read_curves()]
Values = list[tuple[float, float]]


@cache
def curve_of(run: str) -> Curve:
    return next(curve for curve in read_curves() if curve.run == run)


def judged(guard: StepGuard, values: Values, *, first: int = 1) -> list[Anomaly]:
    found = [guard.check(step, *both) for step, both in enumerate(values, start=first)]
    return [anomaly for anomaly in found if anomaly is not None]


def rows(values: Values) -> list[Measurement]:
    return [
        Measurement(step, metric, "", value)
        for step, both in enumerate(values, start=1)
        for metric, value in zip(("loss", "gradient_norm"), both, strict=True)
    ]


def wavy(steps: int, *, loss: float = 3.0, norm: float = 1.0, share: float = 0.02) -> Values:
    return [
        (loss * (1 + share * math.sin(step)), norm * (1 + share * math.cos(step)))
        for step in range(steps)
    ]


def test_the_recorded_curves_are_twenty_thousand_steps() -> None:
    assert sum(len(curve_of(run).values) for run in RUNS) >= 20_000


@pytest.mark.parametrize("run", RUNS)
def test_no_clean_step_is_an_anomaly(run: str) -> None:
    curve = curve_of(run)
    assert judged(StepGuard(OPTIONS, curve.borders), curve.values) == []


@pytest.mark.parametrize("run", [run for run in RUNS if curve_of(run).planted and run not in TINY])
def test_a_spoiled_batch_is_caught_in_its_step(run: str) -> None:
    """From 128 steps of a stage on; of batches of one token a row, nine in ten."""
    curve = curve_of(run)
    guard = StepGuard(OPTIONS, curve.borders)
    caught: dict[str, list[bool]] = {kind: [] for kind in SPOILED}
    for step, both in enumerate(curve.values, start=1):
        before = step - max(border for border in [1, *curve.borders] if border <= step)
        for bad in curve.planted.get(step, ()) if before >= 128 else ():
            if bad.kind in SPOILED:
                # Only what is caught is put to the check: the rest would count as a good step.
                score = guard.score(step, bad.loss, bad.gradient_norm)
                anomaly = guard.check(step, bad.loss, bad.gradient_norm) if score > 1 else None
                assert anomaly is None or (anomaly.step, anomaly.score) == (step, score)
                caught[bad.kind].append(anomaly is not None)
        assert guard.check(step, *both) is None
    assert all(caught["noise"])
    assert all(caught["recoded"])
    assert sum(caught["repeated"]) >= len(caught["repeated"]) * 0.9
    assert len(caught["noise"]) >= 7


def test_a_fault_that_leaves_no_number_or_no_gradient_is_caught_in_every_run() -> None:
    faults = 0
    for run in RUNS:
        curve = curve_of(run)
        guard = StepGuard(OPTIONS, curve.borders)
        for step, both in enumerate(curve.values, start=1):
            for bad in curve.planted.get(step, ()):
                if not math.isfinite(bad.loss + bad.gradient_norm) or bad.gradient_norm == 0:
                    anomaly = guard.check(step, bad.loss, bad.gradient_norm)
                    assert anomaly is not None
                    assert anomaly.score is None
                    faults += 1
            guard.check(step, *both)
    assert faults >= 100


@pytest.mark.parametrize(
    ("loss", "norm", "metric"),
    [
        (math.nan, 1.0, "loss"),
        (math.inf, 1.0, "loss"),
        (3.0, math.nan, "gradient_norm"),
        (3.0, math.inf, "gradient_norm"),
        (3.0, 0.0, "gradient_norm"),
    ],
)
def test_what_is_no_number_is_caught_at_any_step(loss: float, norm: float, metric: str) -> None:
    for steps in (0, 5, 200):
        guard = StepGuard(OPTIONS)
        assert judged(guard, wavy(steps)) == []
        anomaly = guard.check(steps + 1, loss, norm)
        assert anomaly is not None
        assert (anomaly.step, anomaly.metric, anomaly.z) == (steps + 1, metric, None)
        assert guard.last_good == steps


def test_an_anomaly_tells_its_metric_and_its_level() -> None:
    guard = StepGuard(OPTIONS)
    assert judged(guard, wavy(200)) == []
    high_loss = guard.check(201, 6.0, 1.0)
    high_norm = guard.check(202, 3.0, 30.0)
    assert high_loss is not None
    assert high_norm is not None
    assert (high_loss.metric, high_loss.value) == ("loss", 6.0)
    assert (high_norm.metric, high_norm.value) == ("gradient_norm", 30.0)
    assert high_loss.level == pytest.approx(3.0, rel=0.02)
    assert high_norm.level == pytest.approx(1.0, rel=0.02)
    assert high_loss.z is not None
    assert high_loss.z > OPTIONS.loss_z


def test_loss_and_norm_together_are_an_anomaly_before_either_is() -> None:
    def anomaly(loss: float, norm: float) -> Anomaly | None:
        guard = StepGuard(OPTIONS)
        assert judged(guard, wavy(200)) == []
        return guard.check(201, loss, norm)

    assert anomaly(3.33, 1.0) is None
    assert anomaly(3.0, 1.25) is None
    assert anomaly(3.33, 1.25) is not None


def test_a_step_far_below_is_no_anomaly() -> None:
    guard = StepGuard(OPTIONS)
    assert judged(guard, wavy(200)) == []
    assert guard.check(201, 0.3, 0.01) is None


def test_an_anomaly_does_not_hide_the_next() -> None:
    guard = StepGuard(OPTIONS)
    assert judged(guard, wavy(200)) == []
    assert len(judged(guard, [(6.0, 5.0)] * 40, first=201)) == 40
    assert judged(guard, wavy(20), first=241) == []


def test_a_curve_that_hardly_moves_has_no_spikes_of_a_few_per_cent() -> None:
    guard = StepGuard(OPTIONS)
    assert judged(guard, [(2.0, 0.5)] * 200) == []
    assert guard.check(201, 2.04, 0.53) is None
    assert guard.check(202, 2.2, 0.5) is not None


def test_another_text_is_an_anomaly_but_at_a_border() -> None:
    values = wavy(200) + wavy(200, loss=4.5, norm=1.5)
    assert judged(StepGuard(OPTIONS, [201]), values) == []
    assert judged(StepGuard(OPTIONS), values)[0].step == 201


def test_a_guard_speaks_after_its_history_and_after_a_borders() -> None:
    for steps, found in ((OPTIONS.min_history_steps - 1, 0), (OPTIONS.min_history_steps, 1)):
        for before, borders in ((0, []), (300, [301])):
            guard = StepGuard(OPTIONS, borders)
            assert judged(guard, wavy(before + steps)) == []
            assert len(judged(guard, [(9.0, 9.0)], first=before + steps + 1)) == found


@pytest.mark.parametrize("run", ["narrow and fast", "pretrain stage"])
def test_a_guard_that_is_resumed_judges_as_the_one_before(run: str) -> None:
    curve = curve_of(run)
    (border,) = curve.borders
    for stop in (0, 20, 400, border - 1, border + 10, border + 300):
        whole = StepGuard(OPTIONS, curve.borders)
        assert judged(whole, curve.values[:stop]) == []
        resumed = StepGuard.resumed(OPTIONS, curve.borders, rows(curve.values[:stop]))
        assert resumed.last_good == whole.last_good == stop
        for step, both in enumerate(curve.values[stop : stop + 300], start=stop + 1):
            assert resumed.score(step, *both) == whole.score(step, *both)
            assert resumed.check(step, *both) == whole.check(step, *both)
