"""Training ranks with something wrong on the way, for tests: the faults are planted, the rest real.

The faults stand in `faults.json` of the run's folder.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from polylm_core.training import loop
from polylm_core.training.step import Gauge, StepGradient
from polylm_core.worker import WorkerContext

WORKER = "tests.faulty_rank:train_rank"


def plant(work: Path, *, nan_at: tuple[int, ...] = (), hang_once_at: int | None = None) -> None:
    """Let the loss of steps, counted from 1, be no number, and the last rank hang in a step."""
    work.mkdir(parents=True, exist_ok=True)
    faults = {"nan_at": nan_at, "hang_once_at": hang_once_at}
    (work / "faults.json").write_text(json.dumps(faults))


def train_rank(context: WorkerContext, config: Mapping[str, Any]) -> None:
    """Train as `loop.train_rank` does, with the faults of the run's folder."""
    work = Path(config["work"])
    faults = json.loads((work / "faults.json").read_text())
    compute = StepGradient.__call__

    def faulty(self: StepGradient, step: int) -> Gauge:
        hung = work / "hung"
        last = context.rank == context.world_size - 1
        if step + 1 == faults["hang_once_at"] and last and not hung.exists():
            hung.touch()
            time.sleep(600)
        gauge = compute(self, step)
        return replace(gauge, loss=math.nan) if step + 1 in faults["nan_at"] else gauge

    setattr(StepGradient, "__call__", faulty)  # noqa: B010
    loop.train_rank(context, config)
