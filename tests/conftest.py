"""What holds for every test."""

from __future__ import annotations

import gc
import os

import pytest

# Ray's workers give way to all other programs, so that beside another test they would get no time.
os.environ["RAY_worker_niceness"] = "0"
# For tests that import DeepSpeed before a rank says what it computes on.
os.environ["DS_ACCELERATOR"] = "cpu"

gc.disable()  # until all is imported: a third of that time would be the collector's


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Collect garbage from now on, but not what was imported; every process of xdist runs it."""
    gc.freeze()
    gc.enable()
