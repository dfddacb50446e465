"""The comparison on a GPU, on the CPU: it runs, and what falls short is named."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from benchmarks import pretrain_gpu
from benchmarks.engine import sides
from benchmarks.engine.fused import fuse_loss
from benchmarks.engine.pretraining import Measured
from polylm_core.settings import TrainingExecution
from polylm_core.training.model import build_model
from tests.engines import make_shape, random_ids

NONE_HERE = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
GOOD = {
    "gpu": "NVIDIA H200",
    "loss_difference": 1e-4,
    "sides": {"ours": {"mfu": 0.46}},
    "seconds": 400,
}


@NONE_HERE
@pytest.mark.slow
def test_a_quick_run_holds_both_sides_losses_together_and_judges_no_speed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pretrain_gpu", "--quick"])
    status = pretrain_gpu.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["judged"].startswith("losses alone")
    assert result["gpu"] is None
    assert result["ours_settings"]["sharding"] == "zero3"
    for side in result["sides"].values():
        assert side["first_loss"] > side["last_loss"] > 1
        assert side["tokens_per_second"] > 0
        assert side["mfu"] is None
    assert 0 < result["loss_difference"] < 1e-3
    assert result["below_floor"] == []
    assert status == 0


@NONE_HERE
def test_without_a_gpu_the_whole_comparison_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pretrain_gpu"])
    with pytest.raises(SystemExit, match="no GPU here; --quick"):
        pretrain_gpu.main()


def test_what_falls_short_is_named() -> None:
    assert pretrain_gpu.shortfalls(GOOD, judges_speed=True) == []
    slow = {**GOOD, "sides": {"ours": {"mfu": 0.4449}}, "seconds": 500}
    assert pretrain_gpu.shortfalls(slow, judges_speed=True) == ["44.5 % MFU", "it took 500 seconds"]
    unknown = {**GOOD, "gpu": "Tesla T4", "sides": {"ours": {"mfu": None}}}
    (problem,) = pretrain_gpu.shortfalls(unknown, judges_speed=True)
    assert "no peak is known for Tesla T4" in problem
    apart = {**slow, "loss_difference": 0.002}
    assert pretrain_gpu.shortfalls(apart, judges_speed=False) == ["losses differ by 0.002"]


def test_the_mfu_of_a_side_is_its_share_of_the_peak() -> None:
    def measured(speed: float) -> Measured:
        return Measured([2.0, 1.0], speed, speed, 5_000_000, 3.0)

    found = {
        "ours": [measured(60.0), measured(40.0)],
        "trainer": [measured(25.0), measured(25.0)],
    }
    told = pretrain_gpu.summary(found, 100.0)
    assert told["sides"]["ours"]["mfu"] == 0.5
    assert told["sides"]["trainer"]["mfu"] == 0.25
    assert told["ours_over_trainer"] == 2.0


@pytest.mark.parametrize(
    ("gpu_bytes", "sequences", "recompute"),
    [(150e9, 8, False), (85e9, 4, False), (48e9, 2, True)],
)
def test_a_smaller_gpu_has_smaller_micro_batches_on_both_sides(
    gpu_bytes: float, sequences: int, recompute: bool
) -> None:
    there = pretrain_gpu.Machine("a GPU", int(gpu_bytes), 1.0)
    ours, trainer = pretrain_gpu.settings_of(there, quick=False, ours={}, trainer={})
    assert (ours.micro_batch_sequences, ours.recompute_activations) == (sequences, recompute)
    assert (trainer.sequences, trainer.recompute) == (sequences, recompute)
    assert ours.compile
    assert trainer.compile
    changed, _ = pretrain_gpu.settings_of(there, quick=False, ours={"compile": False}, trainer={})
    assert not changed.compile


def test_turns_end_when_another_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(pretrain_gpu.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sides.Setting, "run", lambda *_: Measured([1.0], 1.0, 1.0, 1, 1.0))
    setting = sides.Setting(pretrain_gpu.QUICK_LOAD, 5, 0, tmp_path, [0])
    there = pretrain_gpu.Machine(None, 0, None)
    ours, trainer = pretrain_gpu.settings_of(there, quick=True, ours={}, trainer={})
    found = pretrain_gpu.compare(setting, ours, trainer, max_turns=9, until=35)
    assert [len(rows) for rows in found.values()] == [2, 2]  # at 0 and 20; at 40 no more


def test_a_side_that_fails_or_takes_too_long_ends_the_comparison_with_its_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "waits.py"
    program.write_text("import time; print('waiting', flush=True); time.sleep(60)")
    setting = sides.Setting(
        pretrain_gpu.QUICK_LOAD,
        5,
        0,
        tmp_path,
        [0],
        environment={"PYTHONPATH": str(tmp_path)},
        timeout_seconds=2.0,
    )
    with pytest.raises(SystemExit, match="took more than 2 seconds"):
        setting.run("slow", TrainingExecution(), ["waits"])
    with pytest.raises(SystemExit, match="ended with status 1"):
        setting.run("absent", TrainingExecution(), ["no_such_program"])
    told = capsys.readouterr().err
    assert "waiting" in told
    assert "No module named no_such_program" in told


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_fused_loss_is_the_models_own(architecture: str) -> None:
    def summed(weight_VH: Any, hidden_NH: Any, targets_N: Any) -> torch.Tensor:
        return functional.cross_entropy(hidden_NH @ weight_VH.t(), targets_N, reduction="sum")

    model: Any = build_model(make_shape(architecture), seed=1)
    ids = random_ids()
    given = {
        "input_ids": ids[:, :-1],
        "labels": ids[:, 1:],
        "shift_labels": ids[:, 1:].contiguous(),
        "num_items_in_batch": torch.tensor(1000),
    }
    own = model(**given)
    fuse_loss(model, summed, torch.float32)
    fused = model(**given)
    assert fused.logits is None
    assert fused.loss.item() == pytest.approx(own.loss.item(), rel=1e-5)
