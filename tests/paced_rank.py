"""A training rank at a walking pace, which a test can end: `tests.paced_rank:train_rank`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polylm_core.errors import StageError
from polylm_core.training import loop
from polylm_core.worker import WorkerContext

STEP_SECONDS = 0.05
STOP = "stop"
"""A file in the run's folder."""


class _Paced:
    """A context that takes its time; the loop asks once a step whether the machine is leaving."""

    def __init__(self, context: WorkerContext, work: Path) -> None:
        self.rank = context.rank
        self.world_size = context.world_size
        self.report = context.report
        self.growing = context.growing
        self._leaving = context.leaving
        self._stop = work / STOP

    def leaving(self) -> bool:
        time.sleep(STEP_SECONDS)
        if self._stop.exists():
            raise StageError("the test has seen enough")
        return self._leaving()


def train_rank(context: WorkerContext, config: Mapping[str, Any]) -> None:
    loop.train_rank(_Paced(context, Path(config["work"])), config)
