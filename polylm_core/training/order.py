"""From a job's description of its data to the order its steps see it in."""

from __future__ import annotations

import numpy as np

from polylm_core.token_files import TokenFile
from polylm_core.training.curriculum import CurriculumOrder, StageDraw
from polylm_core.training.dataset import Batch, DataOrder, PackedOrder
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
    """Return the order of a pretraining run; opens its token files, which are known to be whole."""
    return CurriculumOrder(
        {name: TokenFile.open(stem, verified=True) for name, stem in data.stream_files.items()},
        [StageDraw(name, windows) for name, windows in data.stage_windows],
        fingerprint=data.tokens_fingerprint,
        seed=seed,
        context_tokens=data.context_tokens,
        batches=data.batches,
        attend_across_documents=data.attend_across_documents,
    )
