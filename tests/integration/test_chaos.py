"""Whoever is killed, and whenever: every checkpoint, the metrics and the model are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos import chaos


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_lost_rank_machine_and_stage_change_no_byte(tmp_path: Path) -> None:
    result = chaos(tmp_path, kills=3, seed=1)
    assert result["differences"] == []
    assert result["victims"] == {"worker": 1, "node": 1, "driver": 1}
    assert result["moments"]["save"] >= 1
    assert result["steps_done_again"] > 0


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_twenty_kills_change_no_byte(tmp_path: Path) -> None:
    result = chaos(tmp_path, kills=20, seed=2)
    assert result["differences"] == []
    assert result["victims"] == {"worker": 5, "node": 5, "driver": 5, "controller": 5}
    assert set(result["moments"]) == {"step", "save", "start"}
