"""What tests share: a backend without processes, and a stage run in temporary folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from polylm_core.progress import NullProgress
from polylm_core.settings import CheckpointPolicy, TrainingExecution
from polylm_core.stages.base import StageRun

Item = TypeVar("Item")
Result = TypeVar("Result")
TRAINING = TrainingExecution(
    workers=1, micro_batch_sequences=8, checkpoints=CheckpointPolicy(every_steps=5)
)


class SequentialBackend:
    """Runs every unit in this process, in order."""

    training_workers = 1

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        return iter(map(function, items))

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
        raise NotImplementedError("training ranks need a real backend")


def make_run(
    folder: Path,
    *,
    languages: tuple[str, ...] = ("eng_Latn", "deu_Latn"),
    seed: int = 7,
    name: str = "artifact",
) -> StageRun:
    """A stage run that writes to `folder/<name>` and works in `folder/work`."""
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    return StageRun(
        seed=seed,
        languages=languages,
        out=folder / name,
        work=work,
        kept=folder / "kept",
        backend=SequentialBackend(),
        progress=NullProgress(),
        training=TRAINING,
    )
