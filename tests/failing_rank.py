"""Ranks that train nothing and fail as told by a file, start by start."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from polylm_core.errors import TrainingError
from polylm_core.worker import Regroup, WorkerContext

WORKER = "tests.failing_rank:fail"


def fail(context: WorkerContext, config: Mapping[str, Any]) -> None:
    """Fail as `config["fails"]` says of this start: the second rank alone, or all of them."""
    starts = Path(config["work"]) / f"starts-{context.rank}.json"
    number = json.loads(starts.read_text()) if starts.exists() else 0
    starts.write_text(json.dumps(number + 1))
    how = [*config["fails"], *[""] * 9][number]
    if how == "regroup":
        raise Regroup
    if context.rank == 1 and how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if context.rank == 1 and how == "error":
        raise TrainingError("the batch cannot be shared")
    torch.distributed.barrier()
