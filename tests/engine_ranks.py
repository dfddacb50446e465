"""What several ranks do in a test of engines, started by a backend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from polylm_core.training.job import TrainJob
from polylm_core.worker import WorkerContext
from tests.engines import do_step, random_ids


def start_engines(context: WorkerContext, config: Mapping[str, Any]) -> None:
    """Start an engine for each job; write its parts of the initial weights, then train it.

    `<number>-<rank>.safetensors` holds the parts, `<number>-<rank>.txt` the peak of memory while it
    was built, in bytes, and the losses of some steps.
    """
    from polylm_core.training.sharded import ShardedEngine

    for number, content in enumerate(config["jobs"]):
        job = TrainJob.model_validate(content)
        before = _start_measuring()
        engine = ShardedEngine(job, micro_batch=1, steps=1)
        peak = _memory("VmHWM") - before
        parts = {part.name: state["weight"].clone() for part, state in engine.parts()}
        file = Path(config["folder"]) / f"{number}-{context.rank}"
        save_file(parts, file.with_suffix(".safetensors"))
        losses = []
        if config["steps"]:
            ids = random_ids()[context.rank :: context.world_size]
            losses = [do_step(engine, ids) for _ in range(config["steps"])]
        told = torch.tensor(losses, dtype=torch.float64)
        torch.distributed.all_reduce(told)
        losses = (told / context.world_size).tolist()
        file.with_suffix(".txt").write_text("\n".join(map(str, [peak, *losses])), "utf-8")


def _start_measuring() -> int:
    """Forget the peak of this process's memory; return what it has now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5", "utf-8")
    return _memory("VmRSS")


def _memory(what: str) -> int:
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    raise AssertionError(what)
