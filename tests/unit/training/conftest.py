"""What tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from polylm_core.training.job import TrainJob
from tests.one_rank import one_rank
from tests.training_job import make_job


@pytest.fixture
def only_rank(tmp_path: Path) -> Iterator[None]:
    """The process of the test is a rank, and the only one."""
    with one_rank(tmp_path):
        yield


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    """A small job, unsharded."""
    return make_job(tmp_path / "job", sharding="none")
