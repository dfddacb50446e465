"""Weights on the straight line from the model that a run started from to the one it ended with.

What a model learns in fine-tuning is kept for most of that line, and what it forgets comes back
before (WiSE-FT: Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv 2109.01903).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from polylm_core.errors import TrainingError
from polylm_core.training import checkpoint
from polylm_core.training.engine import Engine, Kind, Part
from polylm_core.training.export import Weights
from polylm_core.training.initialise import Values


def interpolate(
    engine: Engine,
    base: Values,
    folder: Path,
    weights: Callable[[], Weights],
    tuned_share: float,
) -> Callable[[], Weights]:
    """Give the engine `base + tuned_share (tuned - base)`; every rank must call it.

    `folder` is the run's last checkpoint and `weights` yields the same. Returns what yields the
    weights that the engine has now. Adam's moments are forgotten: it is the end of a run.
    Raises TrainingError when the checkpoint cannot be read.
    """
    index = checkpoint.read_index(folder)
    if index is None:
        raise TrainingError(f"{folder} is no whole checkpoint; delete it and run again")
    tuned = checkpoint.CheckpointReader(folder, index)

    def between(part: Part, value: torch.Tensor) -> torch.Tensor:
        return torch.lerp(base(part).view_as(value), value, tuned_share)

    def read(kind: Kind, part: Part) -> torch.Tensor:
        if kind != "weight":
            return torch.zeros(part.stop - part.start)
        return between(part, tuned.read(kind, part))

    def yielded() -> Weights:
        for name, value in weights():
            yield name, between(Part(name, tuple(value.shape), 0, value.numel()), value)

    engine.restore(read, engine.updates)
    return yielded
