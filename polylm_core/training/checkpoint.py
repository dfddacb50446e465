"""Checkpoints that are whole or absent: hashed, renamed into place, verified before use."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from polylm_core.errors import TrainingError
from polylm_core.storage import no_space_named, sha256_file

KEEP_LAST = 2
INDEX = "index.json"
TAG = "state"


def save(engine: Any, folder: Path, step: int) -> None:
    """Save the engine's state after `step` steps; every rank must call it.

    Every rank writes its own shard into a partial folder; rank 0 hashes the files, writes the
    index last and renames the folder, so a checkpoint cut short anywhere never counts.
    """
    partial = folder / f".step-{step:08d}.partial"
    rank = torch.distributed.get_rank()
    if rank == 0 and partial.exists():
        shutil.rmtree(partial)
    torch.distributed.barrier()
    with no_space_named(partial):
        engine.save_checkpoint(
            str(partial), tag=TAG, client_state={"polylm_step": step}, save_latest=False
        )
    torch.distributed.barrier()
    if rank == 0:
        files = {
            str(file.relative_to(partial)): sha256_file(file)
            for file in sorted(partial.rglob("*"))
            if file.is_file()
        }
        index = {"step": step, "world_size": torch.distributed.get_world_size(), "files": files}
        with no_space_named(partial):
            (partial / INDEX).write_text(json.dumps(index, indent=1))
        final = folder / f"step-{step:08d}"
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        for old in sorted(folder.glob("step-*"))[:-KEEP_LAST]:
            shutil.rmtree(old)
    torch.distributed.barrier()


def latest(folder: Path) -> tuple[int, Path] | None:
    """Return the step and folder of the newest checkpoint whose every byte is as written."""
    for candidate in sorted(folder.glob("step-*"), reverse=True):
        step = _verified_step(candidate)
        if step is not None:
            return step, candidate
    return None


def _verified_step(checkpoint: Path) -> int | None:
    try:
        index = json.loads((checkpoint / INDEX).read_text())
        whole = all(
            sha256_file(checkpoint / name) == digest for name, digest in index["files"].items()
        )
        return int(index["step"]) if whole else None
    except (OSError, ValueError, KeyError):
        return None


def load(engine: Any, checkpoint: Path, step: int) -> None:
    """Restore the engine; every rank must call it.

    Pickled code is never run: torch is told to load weights only, whatever DeepSpeed asks for.
    Raises TrainingError when another number of ranks wrote it, or DeepSpeed cannot read it.
    """
    written = json.loads((checkpoint / INDEX).read_text())["world_size"]
    world_size = torch.distributed.get_world_size()
    if written != world_size:
        raise TrainingError(
            f"{checkpoint} was written by {written} ranks and cannot be continued by {world_size}; "
            f"set training_workers to {written} in the profile, or delete {checkpoint.parent}"
        )
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    torch.serialization.add_safe_globals(_safe_classes())
    path, state = engine.load_checkpoint(str(checkpoint), tag=TAG)
    if path is None or state.get("polylm_step") != step:
        raise TrainingError(f"{checkpoint}: DeepSpeed could not load it; delete it and run again")


def _safe_classes() -> list[Any]:
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [LossScaler, ZeroStageEnum, fragment_address]
