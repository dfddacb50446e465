"""Curate on a few hundred real documents, by any backend, killed where a test says.

`python -m tests.integration.curate_job FOLDER WORKERS [STEP]` runs it in FOLDER, which holds a
DocumentSet, and dies with SIGKILL in the middle of STEP.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from polylm_core.artifacts import DocumentSet, ShardSet
from polylm_core.compute.backend import Backend
from polylm_core.compute.local import LocalBackend
from polylm_core.progress import NullProgress
from polylm_core.records import Document, Pair
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.stage import curate
from tests.support import SequentialBackend, make_run
from tests.unit.stages.curate_real import RECIPE, publish_real, real_documents, real_pairs

Item = TypeVar("Item")
Result = TypeVar("Result")

LANGUAGES = ("eng_Latn", "rus_Cyrl", "arb_Arab", "tha_Thai", "jpn_Jpan")
STEPS = (
    "survey",
    "prepare",
    "prepare_pairs",
    "decide",
    "build_language_index",
    "finish",
    "move",
    "books",
)
"""Functions of units, and what the stage does itself at the end, in the order of their work."""
CONFIG = CurateConfig.model_validate(
    RECIPE["curate"]
    | {
        "repeated_lines": {"max_documents": 5},
        "held_out": {"share": 0.1, "min_bytes": 100},
        "opt_out": {"ids": ["udhr/eng_Latn/article/2"]},
    }
)
_WRITES = ("os.mkdir", "os.rename", "os.link", "shutil.move")
_NTH_WRITE = {"prepare": 20, "prepare_pairs": 20}
"""The write of a unit at which it is killed; the second in other steps."""


def rows() -> tuple[list[Document], list[Pair]]:
    """Documents of two sources in five languages, some of them twice, and their pairs."""
    documents: list[Document] = []
    pairs: list[Pair] = []
    for language in LANGUAGES:
        found = [*real_documents("chromium-l10n", language)[:40], *real_documents("udhr", language)]
        copies = [replace(row, id=f"{row.id}/copy") for row in found[::7]]
        near = [replace(row, id=f"{row.id}/near", text=f"{row.text}\n1") for row in found[::11]]
        documents += [*found, *copies, *near]
        if language != "eng_Latn":
            pairs += real_pairs("chromium-l10n", language)[:300]
    return documents, pairs


def cut(rows: Sequence[Item], parts: int) -> list[Sequence[Item]]:
    """Rows as parts of about the same number."""
    bounds = [len(rows) * number // parts for number in range(parts + 1)]
    return [rows[low:high] for low, high in pairwise(bounds)]


def write_input(
    folder: Path, documents: Sequence[Document], pairs: Sequence[Pair], parts: int
) -> DocumentSet:
    """A DocumentSet of so many parts of documents and of pairs."""
    return publish_real(folder, {"mixed": cut(documents, parts)}, {"mixed": cut(pairs, parts)})


def run_job(folder: Path, backend: Backend, step: str | None = None) -> ShardSet:
    """Run the stage in a folder that holds its input; die in a step if one is named."""
    run = make_run(folder, languages=LANGUAGES, name="02_shards")
    documents = DocumentSet.load(folder / "01_documents")
    progress = DiesAtTable() if step == "books" else NullProgress()
    if step == "move":
        die_at_write(2, os.getpid(), events=("os.link", "shutil.move"))
    elif step is not None:
        backend = Watched(backend, functools.partial(DiesInUnit, step, os.getpid()))
    return curate(CONFIG, documents, replace(run, backend=backend, progress=progress))


def die_at_write(nth: int, pid: int, events: Sequence[str] = (*_WRITES, "open")) -> None:
    """Have process `pid` killed when this process is about to write for the nth time from now."""
    left = [nth]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in events or (event == "open" and "w" not in str(arguments[1])):
            return
        left[0] -= 1
        if left[0] == 0:
            os.kill(pid, signal.SIGKILL)

    sys.addaudithook(watch)


class DiesAtTable(NullProgress):
    """Ends the process when the stage has written its books and tells of them."""

    def table(self, key: str, rows: object, description: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Watched:
    """A backend whose units go through a wrapper."""

    backend: Backend
    wrap: Callable[[Callable[[Any], Any]], Callable[[Any], Any]]
    training_workers: int = 1

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        return self.backend.map(self.wrap(function), items)

    def launch(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError("curate trains nothing")


_seen: list[Any] = []
"""Units of the deadly step that this process was given."""


@dataclass(frozen=True)
class DiesInUnit:
    """Kills the stage in the middle of the second unit of a step that a process is given."""

    step: str
    stage_pid: int
    function: Callable[[Any], Any]

    def __call__(self, item: Any) -> Any:
        if self.function.__name__ == self.step:
            _seen.append(item)
            if len(_seen) == 2:
                die_at_write(_NTH_WRITE.get(self.step, 2), self.stage_pid)
        return self.function(item)


def main() -> None:
    """Run the job of the command line."""
    folder, workers, *step = sys.argv[1:]
    backend: Backend = SequentialBackend()
    if int(workers) > 1:
        backend = LocalBackend(map_workers=int(workers), training_workers=1, threads_per_worker=1)
    run_job(Path(folder), backend, step[0] if step else None)


if __name__ == "__main__":
    main()
