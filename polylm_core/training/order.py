"""From a job's description of its data to the order its steps see it in."""

from __future__ import annotations

import numpy as np

from polylm_core.token_files import TokenFile
from polylm_core.training.dataset import Batch, CurriculumOrder, DataOrder, PackedOrder, StageDraw
from polylm_core.training.job import CurriculumData, PackedData


def build_order(data: CurriculumData | PackedData, seed: int) -> DataOrder:
    """Return the run's data order."""
    if isinstance(data, CurriculumData):
        return curriculum_order(data, seed)
    with np.load(data.rows_file, allow_pickle=False) as rows:
        packed = Batch(rows["ids"], rows["targets"], rows["segments"])
    return PackedOrder(
        packed, seed=seed, epochs=data.epochs, global_batch_windows=data.global_batch_windows
    )


def curriculum_order(data: CurriculumData, seed: int) -> CurriculumOrder:
    """Return the order of a pretraining run; opens its token files."""
    return CurriculumOrder(
        {name: TokenFile.open(stem).tokens for name, stem in data.stream_files.items()},
        [StageDraw(name, windows) for name, windows in data.stage_windows],
        seed=seed,
        context_tokens=data.context_tokens,
        global_batch_windows=data.global_batch_windows,
    )
