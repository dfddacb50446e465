"""Speed and memory of a run, apart from its metrics."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from polylm_core.training.throughput import Throughput, peak_memory_bytes

CPU = torch.device("cpu")


def test_speed_counts_the_time_since_the_last_measurement(tmp_path: Path) -> None:
    throughput = Throughput(tmp_path / "throughput.jsonl", writes=True, device=CPU)
    throughput.count(1_000)
    time.sleep(0.2)
    assert 2_000 < throughput.measure(5)["tokens_per_second"] <= 5_000
    time.sleep(0.2)
    throughput.pause()
    throughput.count(1_000)
    time.sleep(0.05)
    assert 5_000 < throughput.measure(10)["tokens_per_second"] <= 20_000
    rows = [json.loads(line) for line in (tmp_path / "throughput.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [5, 10]
    assert all(row["peak_memory_bytes"] > 1e6 for row in rows)
    assert all("mfu" not in row for row in rows)


def test_speed_is_told_as_a_share_of_the_peak_where_that_is_known(tmp_path: Path) -> None:
    file = tmp_path / "throughput.jsonl"
    throughput = Throughput(file, writes=True, device=CPU, peak_tokens_per_second=10_000)
    throughput.count(1_000)
    time.sleep(0.2)
    found = throughput.measure(5)
    assert found["mfu"] == pytest.approx(found["tokens_per_second"] / 10_000, abs=1e-4)
    assert json.loads(file.read_text())["mfu"] == found["mfu"] <= 0.5


def test_ranks_but_the_first_write_nothing(tmp_path: Path) -> None:
    throughput = Throughput(tmp_path / "throughput.jsonl", writes=False, device=CPU)
    throughput.count(10)
    throughput.measure(1)
    assert not list(tmp_path.iterdir())


def test_peak_memory_sees_what_was_let_go_again() -> None:
    before = peak_memory_bytes(CPU)
    block = bytearray(300_000_000)
    block[::4096] = b"x" * len(block[::4096])
    del block
    assert peak_memory_bytes(CPU) >= before
    assert peak_memory_bytes(CPU) > 300_000_000


def test_the_memory_of_a_gpu_is_that_of_a_rank_which_computes_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda *_: 7)
    assert peak_memory_bytes(CPU) > 1e6
    assert peak_memory_bytes(torch.device("cuda")) == 7
