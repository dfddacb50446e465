"""The plan of the kills, and that a difference is found."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.chaos import beyond_interval, differences, unrecorded
from benchmarks.engine.chaos_plan import CHECKPOINT_EVERY_STEPS, VICTIMS, plan, steps_of


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_kills_everyone_and_cuts_saves_short(seed: int) -> None:
    kills = plan(20, seed)
    assert [kill.number for kill in kills] == list(range(20))
    assert {who: sum(kill.victim == who for kill in kills) for who in VICTIMS} == dict.fromkeys(
        VICTIMS, 5
    )
    assert any(kill.victim == "worker" and kill.moment == "save" for kill in kills)
    assert kills[0].moment != "start"
    for one, other in pairwise(kills):
        assert other.step - one.step >= 12
        assert (one.moment, other.moment) != ("start", "start")
    assert steps_of(kills) > kills[-1].step + CHECKPOINT_EVERY_STEPS
    assert plan(20, seed) == kills != plan(20, seed + 1)


def test_three_kills_are_of_a_rank_a_machine_and_the_stage() -> None:
    assert {kill.victim for kill in plan(3, 1)} == {"worker", "node", "driver"}


def write_run(
    folder: Path, *, states: dict[int, str], metrics: str = "m", export: str = "e"
) -> None:
    (folder / "run/export").mkdir(parents=True)
    rows = [{"event": "checkpoint", "step": step, "state": state} for step, state in states.items()]
    (folder / "run/events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "run/metrics.jsonl").write_text(metrics)
    (folder / "run/export/model.safetensors").write_text(export)


def test_equal_runs_do_not_differ_though_a_save_was_missed(tmp_path: Path) -> None:
    write_run(tmp_path / "one", states={20: "a", 40: "b"})
    write_run(tmp_path / "other", states={40: "b"})
    assert differences(tmp_path / "one", tmp_path / "other", 40) == []


def test_every_kind_of_difference_is_found(tmp_path: Path) -> None:
    write_run(tmp_path / "one", states={20: "a", 40: "b", 60: "c"})
    write_run(tmp_path / "other", states={20: "a", 40: "x"}, metrics="n", export="f")
    assert differences(tmp_path / "one", tmp_path / "other", 60) == [
        "the metrics differ",
        "the export differ",
        "the checkpoint after step 40 differs",
        "the last checkpoint is missing or differs",
    ]


def test_steps_that_were_done_again_untold_are_found() -> None:
    told = {"number": 3, "moment": "step", "struck_at_step": 57, "resumed_from_step": 40}
    assert unrecorded([{**told, "steps_again": 17}]) == []
    assert unrecorded([{**told, "steps_again": 0}]) == ["kill 3: 17 steps again, 0 told"]


def test_more_lost_steps_than_between_two_checkpoints_are_found() -> None:
    every = CHECKPOINT_EVERY_STEPS
    inside_a_save = {"number": 0, "moment": "save", "struck_at_step": 3 * every}
    kept = {"resumed_from_step": 2 * every, "steps_again": every}
    lost = {"resumed_from_step": every, "steps_again": 2 * every}
    assert beyond_interval([inside_a_save | kept]) == []
    told = [f"kill 0: {2 * every} steps lost, {every} between saves"]
    assert beyond_interval([inside_a_save | lost]) == told
    assert beyond_interval([inside_a_save | lost | {"steps_again": 0}]) == told
    seen_late = {"number": 0, "moment": "step", "struck_at_step": every + 1}
    assert beyond_interval([seen_late | lost]) == told
