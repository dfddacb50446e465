"""The simulated token set is what it says, and what is too slow is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import loader
from polylm_core.token_files import TokenFile
from polylm_core.training.order import curriculum_order

ROW = {"stored_ids": "int32", "context_tokens": 2048, "attend_across_documents": True}


def test_a_simulated_set_opens_with_its_tokens_and_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "SIMULATED_TOKENS", 35 * 10**8)
    monkeypatch.setattr(loader, "SIMULATED_DOCUMENTS", 35 * 10**4)
    loader.write_simulated(tmp_path / "simulated")
    stream = TokenFile.open(tmp_path / "simulated" / "eng_Latn", verified=True)
    assert (len(stream.tokens), len(stream)) == (10**8, 10**4)
    data = loader.describe(tmp_path / "simulated", 35 * 10**8, 2048, attend=False)
    order = curriculum_order(data, seed=1)
    assert order.num_steps == pytest.approx(35 * 10**8 / loader.BATCH_TOKENS, abs=2)
    assert len(order.windows(order.num_steps - 1).firsts) == loader.BATCH_TOKENS // 2048


def test_slow_loading_slow_resuming_and_growth_are_named() -> None:
    good = {**ROW, "million_tokens_per_second": 150.0, "grown_megabytes": 0.1}
    assert loader.shortfalls([good], {"worst_ms": 3.0}) == []
    slow = {**good, "attend_across_documents": False, "million_tokens_per_second": 90.0}
    assert loader.shortfalls(
        [good, slow, {**good, "grown_megabytes": 50.0}], {"worst_ms": 6.0}
    ) == [
        "int32, context 2048, documents apart: 90.0 million tokens a second",
        "int32, context 2048: grew by 50.0 MB",
        "resuming took 6.0 ms",
    ]
