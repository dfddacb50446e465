"""A run that leaves steps out comes to the same weights, wherever it is cut and begun again."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from polylm_core.artifacts import Mixture, TokenSet
from polylm_core.errors import TrainingError
from polylm_core.stages.pretrain.data import curriculum_data
from polylm_core.training.guard import Anomaly, GuardOptions, StepGuard
from polylm_core.training.metrics import Measurement
from polylm_core.training.skips import Skips
from polylm_core.training.trace import Trace
from tests.encoded import PRETRAIN, make_encoded

OPTIONS = GuardOptions(
    window_steps=32, min_history_steps=32, rollback_after_steps=3, max_skipped_steps=60
)
STEPS, SAVE_EVERY = 104, 20
USUAL = 3.0


class CutError(Exception):
    """The process was killed."""


@dataclass
class Training:
    """A run whose weights are the list of the steps that made them."""

    folder: Path
    poisoned: tuple[int, ...] = ()
    """Steps with a high loss, whatever the weights."""
    damaging: tuple[int, ...] = ()
    """Steps that look good; with one of them in the weights, every later loss is high."""
    declared: tuple[tuple[int, int], ...] = ()
    weights: list[int] = field(default_factory=list)
    checkpoints: dict[int, list[int]] = field(default_factory=dict)
    measured: list[Measurement] = field(default_factory=list)
    tried: int = 0
    moments: int = 0
    cut_at: int | None = None

    def run(self, cut_at: int | None = None) -> Training:
        """Train to the end, or until a moment at which the process is killed."""
        self.moments, self.cut_at = 0, cut_at
        skips = Skips(self.folder / "skips.jsonl", self.declared)
        for step in [step for step in self.checkpoints if skips.voids(step)]:
            del self.checkpoints[step]
        done = self._load(max(self.checkpoints, default=0))
        guard = StepGuard.resumed(OPTIONS, (), self.measured)
        while done < STEPS:
            step = done + 1
            if step in skips:
                done = step
                continue
            anomaly = guard.check(step, self._loss(step), 1.0)
            if anomaly is not None:
                skip = skips.respond(
                    anomaly, OPTIONS, last_good=guard.last_good, checkpoints=self.checkpoints
                )
                skips.add(skip)
                self._moment()
                skips.write()
                self._moment()
                if skip.checkpoint is not None:
                    done = self._load(skip.checkpoint)
                    guard = StepGuard.resumed(OPTIONS, (), self.measured)
                    self._moment()
                continue
            self.weights.append(step)
            self.measured.append(Measurement(step, "loss", "", self._loss_of[step]))
            self.measured.append(Measurement(step, "gradient_norm", "", 1.0))
            done = step
            if done % SAVE_EVERY == 0:
                self._moment()
                self.checkpoints[done] = list(self.weights)
            self._moment()
        return self

    def _load(self, step: int) -> int:
        for newer in [other for other in self.checkpoints if other > step]:
            del self.checkpoints[newer]
            self._moment()
        self.weights = list(self.checkpoints.get(step, []))
        self.measured = [row for row in self.measured if row.step <= step]
        return step

    def _loss(self, step: int) -> float:
        self.tried += 1
        bad = step in self.poisoned or bool(set(self.damaging) & set(self.weights))
        self._loss_of = {step: (3.0 if bad else 1.0) * USUAL * (1 + 0.01 * math.sin(step))}
        return self._loss_of[step]

    def _moment(self) -> None:
        self.moments += 1
        if self.moments == self.cut_at:
            raise CutError


def without(*left_out: int) -> list[int]:
    return [step for step in range(1, STEPS + 1) if step not in left_out]


def record(folder: Path) -> list[tuple[int, int, int | None]]:
    return [
        (skip.first_step, skip.last_step, skip.checkpoint)
        for skip in Skips(folder / "skips.jsonl").found
    ]


def test_the_gradient_of_a_single_anomaly_is_dropped(tmp_path: Path) -> None:
    run = Training(tmp_path, poisoned=(70, 90)).run()
    assert run.weights == without(70, 90)
    assert record(tmp_path) == [(70, 70, None), (90, 90, None)]


def test_damage_in_the_weights_sends_the_run_back_before_it(tmp_path: Path) -> None:
    run = Training(tmp_path, damaging=(72,)).run()
    assert run.weights == without(*range(61, 76))
    assert record(tmp_path) == [(73, 73, None), (74, 74, None), (61, 75, 60)]


def test_a_checkpoint_with_the_damage_in_it_is_passed_over(tmp_path: Path) -> None:
    """The damage is in the step that the newest checkpoint ends with."""
    run = Training(tmp_path, damaging=(80,)).run()
    assert record(tmp_path)[-1] == (61, 83, 60)
    assert run.weights == without(*range(61, 84))


@pytest.mark.parametrize("damaging", [(), (72,), (80,)])
def test_a_run_cut_at_any_moment_comes_to_the_same_weights_and_record(
    tmp_path: Path, damaging: tuple[int, ...]
) -> None:
    def training(name: str) -> Training:
        (tmp_path / name).mkdir()
        return Training(tmp_path / name, poisoned=(50, 99, 100), damaging=damaging)

    whole = training("whole").run()
    for moment in range(1, whole.moments + 1):
        run = training(f"cut-{moment}")
        with pytest.raises(CutError):
            run.run(cut_at=moment)
        run.run()
        assert run.weights == whole.weights
        assert record(run.folder) == record(whole.folder)
        assert run.measured == whole.measured


def test_a_rerun_with_the_record_or_the_list_tries_none_of_them_again(tmp_path: Path) -> None:
    first = Training(tmp_path, poisoned=(50,), damaging=(72,)).run()
    assert first.tried > len(first.weights)
    again = Training(tmp_path, poisoned=(50,), damaging=(72,)).run()
    (tmp_path / "fresh").mkdir()
    listed = Training(
        tmp_path / "fresh", poisoned=(50,), damaging=(72,), declared=((50, 50), (61, 75))
    ).run()
    for run in (again, listed):
        assert run.weights == first.weights
        assert run.measured == first.measured
        assert run.tried == len(run.weights)
    assert record(tmp_path / "fresh") == []


def test_a_run_whose_every_step_is_an_anomaly_ends_with_an_error(tmp_path: Path) -> None:
    run = Training(tmp_path, poisoned=tuple(range(75, STEPS)))
    with pytest.raises(TrainingError, match=r"more than guard.max_skipped_steps \(60\)"):
        run.run()


def test_a_run_that_is_bad_from_its_beginning_ends_with_an_error(tmp_path: Path) -> None:
    skips = Skips(tmp_path / "skips.jsonl")
    for step in (1, 2):
        anomaly = Anomaly(step, "loss", math.nan, level=None, z=None, score=None)
        skips.add(skips.respond(anomaly, OPTIONS, last_good=0, checkpoints=[]))
    with pytest.raises(TrainingError, match="the loss of step 3 is nan; so were the 2 steps"):
        skips.respond(
            Anomaly(3, "loss", math.nan, level=None, z=None, score=None),
            OPTIONS,
            last_good=0,
            checkpoints=[],
        )


def test_the_record_names_documents_and_languages(tmp_path: Path) -> None:
    made: tuple[TokenSet, Mixture] = make_encoded(tmp_path)
    trace = Trace(curriculum_data(PRETRAIN, *made), 7, tokens=made[0].path)
    skips = Skips(tmp_path / "skips.jsonl")
    anomaly = Anomaly(3, "gradient_norm", math.inf, level=None, z=None, score=None)
    skip = skips.respond(anomaly, OPTIONS, last_good=2, checkpoints=[])
    skips.add(skip.holding(trace.step(3)))
    skips.write()
    (written,) = Skips(tmp_path / "skips.jsonl").found
    assert written.value == math.inf
    assert set(written.documents) == {sight.document.id for sight in trace.step(3)}
    assert sum(written.documents.values()) == PRETRAIN.global_batch_tokens
    assert sum(written.languages.values()) == PRETRAIN.global_batch_tokens
    assert set(written.languages) <= {"eng_Latn", "deu_Latn", "eng_Latn-deu_Latn", "tha_Thai"}
    (line,) = (tmp_path / "skips.jsonl").read_text().splitlines()
    assert json.loads(line)["first_step"] == 3


def test_a_record_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "skips.jsonl").write_text('{"first_step": 1}\n')
    with pytest.raises(TrainingError, match=r"skips\.jsonl is no record of skipped steps"):
        Skips(tmp_path / "skips.jsonl")
