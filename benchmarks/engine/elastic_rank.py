"""A training rank that stops its group after some steps, and writes down what it computes on.

Named as the worker of a launch: `benchmarks.engine.elastic_rank:train_part`. It stops as on a
machine that has been told to go: the state is saved, and the launch ends instead of going on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from polylm_core.storage import fingerprint
from polylm_core.training import loop, step
from polylm_core.training.dataset import Batch
from polylm_core.worker import Regroup, WorkerContext

STOP_AFTER = "stop_after_steps.json"
"""In the run's folder: the steps after which the group stops; there is no such file to go on."""


class _Leaving:
    """A context whose machine leaves after some steps; the loop asks once a step."""

    def __init__(self, context: WorkerContext, steps: int | None) -> None:
        self.rank = context.rank
        self.world_size = context.world_size
        self.report = context.report
        self.growing = context.growing
        self._left = steps

    def leaving(self) -> bool:
        if self._left is None:
            return False
        self._left -= 1
        return self._left == 0


def train_part(context: WorkerContext, config: Mapping[str, Any]) -> None:
    """Train as `train_rank`, for as many steps as the run's folder says."""
    work = Path(config["work"])
    file = work / STOP_AFTER
    steps = json.loads(file.read_text()) if file.is_file() else None
    _write_down_rows(work / f"rows-{context.rank}.jsonl")
    try:
        loop.train_rank(_Leaving(context, steps), config)
    except Regroup:
        return  # the launch has ended well; the next one is of another size


def _write_down_rows(path: Path) -> None:
    """Note the digest of every row that this rank gives to its model in a step."""
    gradient, inputs_of = step.StepGradient.__call__, vars(step)["inputs_of"]
    current: list[int] = []

    def noting_step(computes: step.StepGradient, number: int) -> step.Gauge:
        current.append(number)
        return gradient(computes, number)

    def noting_rows(batch: Batch, device: torch.device) -> list[torch.Tensor]:
        with path.open("a", encoding="utf-8") as file:
            for ids, targets in zip(batch.ids_BT, batch.targets_BT, strict=True):
                row = [current[-1], fingerprint([ids.tolist(), targets.tolist()])]
                file.write(json.dumps(row) + "\n")
        inputs: list[torch.Tensor] = inputs_of(batch, device)
        return inputs

    setattr(step.StepGradient, "__call__", noting_step)  # noqa: B010
    setattr(step, "inputs_of", noting_rows)  # noqa: B010


def rows_of(work: Path) -> dict[int, list[str]]:
    """Return the sorted digests of the rows that all ranks together computed on, by step."""
    found: dict[int, list[str]] = {}
    for file in sorted(work.glob("rows-*.jsonl")):
        for line in file.read_text().splitlines():
            number, digest = json.loads(line)
            found.setdefault(number, []).append(digest)
    return {number: sorted(digests) for number, digests in sorted(found.items())}
