"""Training on one rank in the process of the test: all of it real but the launch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from polylm_core.artifacts import BaseModelFolder, Mixture, Tokenizer, TokenSet
from polylm_core.stages.base import StageRun
from polylm_core.stages.pretrain.stage import pretrain
from polylm_core.training.loop import train_rank
from polylm_core.training.run import EXPORT_FOLDER
from tests.encoded import PRETRAIN, make_encoded
from tests.support import TRAINING, SequentialBackend, make_run


@contextmanager
def one_rank(folder: Path) -> Iterator[None]:
    """Be the only rank of a group, as a backend sets it up."""
    patch = pytest.MonkeyPatch()
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1")):
        patch.setenv(name, value)
    torch.set_num_threads(1)  # the steps are too small to share
    folder.mkdir(parents=True, exist_ok=True)
    rendezvous = folder / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous.absolute()}", rank=0, world_size=1
    )
    precision = torch.get_float32_matmul_precision()
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)  # training sets it for its process
        comm = sys.modules.get("deepspeed.comm.comm")
        if comm is None or comm.cdb is None:
            torch.distributed.destroy_process_group()
        else:  # DeepSpeed keeps groups of its own, which the next test must not find
            comm.destroy_process_group()
            comm.cdb = None
        patch.undo()


@dataclass(frozen=True)
class OnlyRank:
    """What the rank sees of its group."""

    on_report: Callable[[Mapping[str, float]], None]
    rank: int = 0
    world_size: int = 1

    def report(self, metrics: Mapping[str, float]) -> None:
        self.on_report(metrics)

    def leaving(self) -> bool:
        return False

    def growing(self) -> bool:
        return False


class OneRankBackend(SequentialBackend):
    """Trains in this process; `afterwards` is called with the exported folder."""

    def __init__(self, afterwards: Callable[[Path], object] = lambda folder: None) -> None:
        self._afterwards = afterwards

    def launch(
        self,
        worker: str,
        config: Mapping[str, Any],
        *,
        work: Path,
        sizes: Sequence[int],
        on_report: Callable[[Mapping[str, float]], None],
        on_note: Callable[[str], None],
    ) -> None:
        assert 1 in sizes
        with one_rank(work):
            train_rank(OnlyRank(on_report), config)
        self._afterwards(work / EXPORT_FOLDER)


def make_training_run(folder: Path, backend: OneRankBackend, *, name: str) -> StageRun:
    """A stage run that trains on one unsharded rank."""
    run = make_run(folder, name=name)
    training = TRAINING.model_copy(update={"sharding": "none"})
    work = folder / f"work-{name}"
    work.mkdir(exist_ok=True)
    return replace(run, backend=backend, training=training, work=work)


class Pretrained:
    """Everything up to a base model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens, self.mixture = make_encoded(folder)
        self.tokenizer = Tokenizer.load(folder / "03_tokenizer")
        self.base = self.again(OneRankBackend(), name="06_base")

    @property
    def inputs(self) -> tuple[Tokenizer, TokenSet, Mixture]:
        """What `pretrain` takes."""
        return self.tokenizer, self.tokens, self.mixture

    def again(self, backend: OneRankBackend, *, name: str) -> BaseModelFolder:
        """Train from the beginning."""
        return pretrain(PRETRAIN, *self.inputs, make_training_run(self.folder, backend, name=name))
