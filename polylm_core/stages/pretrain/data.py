"""What a pretraining run reads: the streams, and how many windows of each stage draws."""

from __future__ import annotations

import json

from polylm_core.artifacts import Mixture, TokenSet
from polylm_core.errors import StageError
from polylm_core.stages.pretrain.config import PretrainConfig
from polylm_core.training.curriculum import windows_of_stage
from polylm_core.training.job import CurriculumData


def curriculum_data(config: PretrainConfig, tokens: TokenSet, mixture: Mixture) -> CurriculumData:
    """Return what a run reads; raises StageError when the batch does not fit the context."""
    context = config.model.context_tokens
    if config.global_batch_tokens % context:
        raise StageError(
            f"pretrain.global_batch_tokens ({config.global_batch_tokens}) is not a multiple of "
            f"pretrain.model.context_tokens ({context}); choose a multiple"
        )
    batch = config.global_batch_tokens // context
    solved = json.loads((mixture.path / "mixture.json").read_text(encoding="utf-8"))
    stages = [
        (
            str(stage["name"]),
            windows_of_stage(
                {name: int(draw["tokens"]) for name, draw in stage["streams"].items()},
                context_tokens=context,
                global_batch_windows=batch,
            ),
        )
        for stage in solved["stages"]
    ]
    folder = (tokens.path / "train").absolute()
    names = sorted({name for _, windows in stages for name in windows})
    return CurriculumData(
        tokens_fingerprint=tokens.fingerprint,
        stream_files={name: folder / name for name in names},
        stage_windows=stages,
        context_tokens=context,
        global_batch_windows=batch,
        batch_ramp=config.ramp_windows,
        attend_across_documents=config.attend_across_documents,
    )
