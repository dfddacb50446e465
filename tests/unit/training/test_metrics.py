"""Measurements survive a crash and forget what is trained again."""

from __future__ import annotations

from pathlib import Path

from polylm_core.training.metrics import Measurement, MetricsFile


def test_rewinding_forgets_the_steps_that_are_done_again(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    rows = [Measurement(step, "loss", "", 10.0 - step) for step in range(1, 6)]
    file.append(rows)
    file.rewind(3)
    assert file.read() == rows[:3]


def test_a_line_cut_short_ends_the_file(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.append([Measurement(1, "loss", "", 2.5)])
    with file.path.open("a") as stream:
        stream.write('{"step": 2, "met')
    assert file.read() == [Measurement(1, "loss", "", 2.5)]
