"""The comparison of the loss with whole logits runs, and what is too slow or too large is named."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from benchmarks import loss
from benchmarks.allocations import Allocations

ROW = {"vocab_size": 256_000, "hidden_size": 64, "dtype": "float32"}


def test_a_quick_run_compares_time_memory_and_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(sys, "argv", ["loss", "--quick"])
    monkeypatch.setattr(loss, "POSITIONS", 256)
    monkeypatch.setattr(loss, "ERROR_SHAPE", (500, 16))
    monkeypatch.delitem(loss.SIDES, "torch_chunked")
    monkeypatch.setattr(
        loss, "cases", lambda *, quick: [loss.Case(20_000, 32, 1024, "bfloat16", "highest")]
    )
    status = loss.main()
    torch.set_num_threads(threads)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    (row,) = result["cases"]
    assert row["whole_logits_megabytes"] == 41.0
    assert set(row["sides"]) == {"whole_logits", "ours"}
    # The logits, their softmax and its gradient, less the gradients that come after them.
    assert row["sides"]["whole_logits"]["extra_of_whole_logits"] > 2.4
    assert row["sides"]["whole_logits"]["resident_extra_of_whole_logits"] > 2.4
    errors = result["errors_bfloat16"]
    assert 0 < errors["ours"]["loss"] < 1e-4 < errors["ours"]["matrix_gradient"] < 0.01
    assert status == bool(result["below_floor"])


def test_what_is_slower_or_larger_than_allowed_is_named() -> None:
    good = {
        "times_whole_logits": 0.7,
        "extra_of_whole_logits": 0.1,
        "resident_extra_of_whole_logits": 0.11,
    }
    assert loss.shortfalls([{**ROW, "sides": {"ours": good}}]) == []
    slow = {**good, "times_whole_logits": 1.2}
    large = {**good, "resident_extra_of_whole_logits": 0.2}
    small_vocab = {**ROW, "vocab_size": 8_000, "sides": {"ours": large}}
    rows = [{**ROW, "sides": {"ours": slow}}, {**ROW, "sides": {"ours": large}}, small_vocab]
    assert loss.shortfalls(rows) == [
        "256000 entries, 64 wide, float32: 1.2 times the time",
        "256000 entries, 64 wide, float32: resident_extra_of_whole_logits 0.2",
    ]


def test_allocations_are_counted_while_they_live() -> None:
    known = torch.zeros(1000)
    with Allocations([known]) as seen:
        for _ in range(3):
            part = torch.ones(500)
            part += 1
            del part
        known.add_(1).view(10, 100)
        kept = torch.ones(200)
        both = kept * 2
    assert seen.largest_bytes == 2000
    assert seen.peak_bytes == 2000
    assert both.nbytes == 800
