"""The comparison of training loops on processors."""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

import pytest

from benchmarks import pretrain_cpu

GOOD: dict[str, Any] = {
    "loss_difference": 0.0009,
    "unsharded_over_trainer": 1.31,
    "zero3_over_unsharded": 0.66,
    "sides": {"unsharded": {"peak_megabytes": 800}, "trainer": {"peak_megabytes": 900}},
}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_quick_run_holds_the_losses_of_three_sides_together_and_judges_no_speed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pretrain_cpu", "--quick"])
    status = pretrain_cpu.main()
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    load = told["loads"]["tiny"]
    assert (status, told["below_floor"]) == (0, [])
    assert set(load["sides"]) == {"unsharded", "trainer", "zero3"}
    assert 0 < load["loss_difference"] < pretrain_cpu.CEILING_DIFFERENCE
    assert all(side["last_loss"] < side["first_loss"] for side in load["sides"].values())
    assert min(load["unsharded_over_trainer"], load["zero3_over_unsharded"]) > 0


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"unsharded_over_trainer": 1.29}, "a: 1.29 of Trainer's speed"),
        ({"zero3_over_unsharded": 0.649}, "a: ZeRO-3 0.649 of the loop's speed"),
        ({"loss_difference": 0.0011}, "a: losses differ by 0.0011"),
    ],
)
def test_what_falls_short_is_named(changed: dict[str, float], problem: str) -> None:
    assert pretrain_cpu.shortfalls({"a": GOOD}, judges_speed=True) == []
    assert pretrain_cpu.shortfalls({"a": {**GOOD, **changed}}, judges_speed=True) == [problem]


def test_more_memory_than_the_peer_is_a_shortfall() -> None:
    greedy = copy.deepcopy(GOOD)
    greedy["sides"]["unsharded"]["peak_megabytes"] = 901
    assert pretrain_cpu.shortfalls({"a": greedy}, judges_speed=True) == [
        "a: more memory than Trainer"
    ]
