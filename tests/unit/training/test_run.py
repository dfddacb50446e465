"""How many ranks a run may have, and what its bar says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from polylm_core.errors import TrainingError
from polylm_core.progress import NullProgress, Tracker
from polylm_core.settings import TrainingExecution
from polylm_core.training.metrics import Measurement, MetricsFile
from polylm_core.training.run import run_job
from polylm_core.training.shares import world_sizes
from tests.engines import make_engine_job


def test_ranks_are_of_a_number_that_divides_the_batch() -> None:
    assert world_sizes(12, TrainingExecution(workers=6, min_workers=1)) == [1, 2, 3, 4, 6]
    assert world_sizes(12, TrainingExecution(workers=5, min_workers=3)) == [3, 4]


def test_without_a_least_number_all_workers_are_wanted() -> None:
    assert world_sizes(12, TrainingExecution(workers=4)) == [4]


def test_a_batch_that_no_allowed_number_divides_is_told() -> None:
    with pytest.raises(TrainingError, match="batch of 12 sequences cannot be shared by 5 ranks"):
        world_sizes(12, TrainingExecution(workers=5))
    with pytest.raises(TrainingError, match="batch of 13 sequences cannot be shared by 2 or 5"):
        world_sizes(13, TrainingExecution(workers=5, min_workers=2))


class Bar(NullProgress):
    """A bar that remembers."""

    def __init__(self) -> None:
        self.done = 0
        self.notes: list[str] = []

    @contextmanager
    def track(
        self, unit: str, total: int, noun: str = "items", *, done: int = 0
    ) -> Iterator[Tracker]:
        self.done = done
        yield self

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount
        self.notes.append(note)


class Reporting:
    """A backend whose ranks do nothing but report."""

    training_workers = 1

    def __init__(self, *reports: Mapping[str, float]) -> None:
        self.reports = reports

    def launch(self, *_: Any, on_report: Callable[..., None], **__: Any) -> None:
        for report in self.reports:
            on_report(report)


def test_the_bar_has_loss_speed_and_the_share_of_the_peak_where_it_is_known(tmp_path: Path) -> None:
    report = {"step": 5, "loss": 5.3104, "tokens_per_second": 12_345.6}
    bar = Bar()
    backend: Any = Reporting(report, {**report, "step": 8, "mfu": 0.4567})
    run_job(make_engine_job(tmp_path), backend, bar, num_steps=8, what="steps")
    assert bar.done == 8
    assert bar.notes == [
        "loss 5.310, 12,346 tokens/s",
        "loss 5.310, 12,346 tokens/s, 45.7 % MFU",
    ]


def test_the_bar_of_a_run_that_goes_on_begins_where_the_run_was(tmp_path: Path) -> None:
    MetricsFile(tmp_path / "metrics.jsonl").append([Measurement(6, "loss", "", 1.0)])
    bar = Bar()
    again = {"step": 5, "loss": 1.0, "tokens_per_second": 1.0}
    backend: Any = Reporting(again, {**again, "step": 7})
    run_job(make_engine_job(tmp_path), backend, bar, num_steps=8, what="steps")
    assert bar.done == 7
