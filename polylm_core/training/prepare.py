"""What both engines do to a model before they train it."""

from __future__ import annotations

from typing import Any

import torch

from polylm_core.training.activation import use_sigmoid_gelu
from polylm_core.training.attention import attend_in_blocks
from polylm_core.training.job import TrainJob
from polylm_core.training.loss import LanguageModelLoss
from polylm_core.training.model import blocks
from polylm_core.training.precision import set_precision


def device_type(job: TrainJob) -> str:
    """Return torch's word for what a job's ranks compute on."""
    return "cuda" if job.execution.accelerator == "gpu" else "cpu"


def prepare(module: LanguageModelLoss, job: TrainJob) -> None:
    """Set attention, precision, recomputing and compiling as the job says."""
    model: Any = module.model
    if device_type(job) == "cpu":
        attend_in_blocks(model)
    if job.execution.recompute_activations:
        # Not reentrant: a block whose input needs no gradient, the first, is recomputed too.
        model.activation_checkpointing_enable({"use_reentrant": False})
    set_precision(module, job, device_type(job))
    if job.execution.compile:
        for block in blocks(model):
            if device_type(job) == "cpu":
                use_sigmoid_gelu(block)
            setattr(block, "forward", torch.compile(block.forward))  # noqa: B010
