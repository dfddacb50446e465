"""What a rank under Ray prints is in the cluster's logs, so it has no secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from polylm_core.compute import ray_ranks
from polylm_core.worker import WorkerContext


def print_password(context: WorkerContext, config: Mapping[str, Any]) -> None:
    print(f"rank {context.rank} has password={config['password']}")


def test_a_rank_prints_no_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    notices = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(ray_ranks.ray.train, "get_context", lambda: train)
    monkeypatch.setattr(ray_ranks, "Notices", lambda *_: notices)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # taken back after the test
    factory = logging.getLogRecordFactory()
    loop = {
        "driver_pid": None,
        "threads": 1,
        "sizes": [1],
        "bundle": {},
        "reports": None,
        "worker": "tests.unit.compute.test_ray_ranks:print_password",
        "config": {"password": "correct-horse"},
    }
    try:
        assert ray_ranks.run_rank(loop) is None
    finally:
        logging.setLogRecordFactory(factory)
    assert capsys.readouterr().out == "rank 0 has password=[hidden]\n"
