"""Held-out bits per byte by language, while a run is under way.

Legend: N rows, T tokens of context.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from polylm_core.training.batch import inputs_of
from polylm_core.training.dataset import Batch
from polylm_core.training.engine import Engine
from polylm_core.training.metrics import Measurement


def validate(
    engine: Engine, file: Path, *, done: int, rank: int, world_size: int, micro_batch: int
) -> list[Measurement]:
    """Return bits per byte by language after `done` steps; the ranks share the rows evenly."""
    with np.load(file, allow_pickle=False) as data:
        rows, language = data["ids"], data["language"]
        segments = data["segments"] if "segments" in data else None
        names, num_bytes = data["languages"], data["bytes"]
    nats = torch.zeros(len(names), dtype=torch.float64)
    engine.train(False)
    with torch.no_grad():
        for begin in range(0, len(rows), micro_batch * world_size):
            chosen = np.arange(micro_batch) + begin + rank * micro_batch
            real = chosen < len(rows)
            chosen = np.where(real, chosen, 0)
            apart = None if segments is None else segments[chosen]
            scored = Batch(rows[chosen, :-1], rows[chosen, 1:], apart)
            losses = engine.losses(*inputs_of(scored, engine.device)).double().sum(1).cpu()
            losses[torch.from_numpy(~real)] = 0.0
            nats.index_add_(0, torch.from_numpy(language[chosen]), losses)  # a GPU adds at random
    engine.train(True)
    nats = nats.to(engine.device)
    torch.distributed.all_reduce(nats)
    return [
        Measurement(done, "bits_per_byte", str(name), value / math.log(2) / float(size_bytes))
        for name, value, size_bytes in zip(names, nats.tolist(), num_bytes, strict=True)
    ]
