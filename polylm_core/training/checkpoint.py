"""Checkpoints: whole or absent, of tensors alone, and readable by any number of ranks.

A checkpoint is a folder `step-<step>`. Each rank writes its part of every parameter's state as
safetensors (`weight-<rank>`, `exp_avg-<rank>`, `exp_avg_sq-<rank>`); `index.json`, written last and
sealed, names the files with their sha256. A folder without its index does not count. A rank reads
the elements it holds from whichever files have them, so that another number of ranks, or an export,
needs no conversion.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from polylm_core.errors import TrainingError
from polylm_core.sealed import sealed, unsealed
from polylm_core.settings import CheckpointPolicy
from polylm_core.storage import no_space_named, replacing, sha256_file, write_atomic
from polylm_core.training.engine import KINDS, Engine, Kind, Part
from polylm_core.training.shares import share

INDEX = "index.json"
SCHEMA = 1


class CheckpointIndex(BaseModel):
    """What a checkpoint holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA
    step: int
    """Steps of the data order that are behind it."""
    updates: int
    """Optimizer steps among them."""
    world_size: int
    """Ranks that wrote it."""
    shapes: dict[str, tuple[int, ...]]
    """Of every parameter."""
    sha256: dict[str, str]
    """Of every file."""


def folder_of(checkpoints: Path, step: int) -> Path:
    """Return the folder of the checkpoint after `step` steps."""
    return checkpoints / f"step-{step:08d}"


def file_of(kind: Kind, rank: int) -> str:
    """Return the name of the file with a rank's part of one kind of state."""
    return f"{kind}-{rank:05d}.safetensors"


def write_parts(engine: Engine, folder: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Write this rank's parts; return the shapes of all parameters and the sha256 of its files."""
    folder.mkdir(parents=True, exist_ok=True)
    rank = torch.distributed.get_rank()
    shapes: dict[str, tuple[int, ...]] = {}
    digests = {}
    for kind in KINDS:  # one after the other: state that is on a disk would not fit at once
        path = folder / file_of(kind, rank)
        tensors = {}
        for part, state in engine.parts([kind]):
            shapes[part.name] = part.shape
            tensors[part.name] = state[kind].cpu()
        with no_space_named(path), replacing(path) as partial:
            save_file(tensors, partial)
            partial.chmod(0o644)  # safetensors writes for its owner only
            _to_disk(partial)
            digests[path.name] = sha256_file(partial)
    return shapes, digests


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def save(engine: Engine, checkpoints: Path, step: int) -> CheckpointIndex:
    """Save the state after `step` steps; every rank must call it.

    The index is written when the files of all ranks are on disk.
    """
    folder = folder_of(checkpoints, step)
    if leads_machine():
        _remove(folder)  # what a killed save left
    torch.distributed.barrier()
    shapes, mine = write_parts(engine, folder)
    every: list[dict[str, str]] = [{}] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(every, mine)
    index = CheckpointIndex(
        step=step,
        updates=engine.updates,
        world_size=len(every),
        shapes=shapes,
        sha256={name: digest for digests in every for name, digest in digests.items()},
    )
    if leads_machine():  # each machine's own folder, where they do not share one, has the index
        write_atomic(folder / INDEX, sealed(index.model_dump(mode="json")))
    torch.distributed.barrier()
    return index


def leads_machine() -> bool:
    """Whether this rank is the first of its machine, which looks after the machine's files."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


def read_index(folder: Path) -> CheckpointIndex | None:
    """Return a checkpoint's index; none when there is no whole one."""
    try:
        index = CheckpointIndex.model_validate(unsealed((folder / INDEX).read_bytes()))
    except (OSError, ValueError):  # pydantic's ValidationError among them
        return None
    return index if index.schema_version == SCHEMA else None


def newest_first(checkpoints: Path) -> Iterator[tuple[int, Path]]:
    """Yield step and folder of the checkpoints that have their index, the newest first."""
    for folder in sorted(checkpoints.glob("step-*"), reverse=True):
        index = read_index(folder)
        if index is not None:
            yield index.step, folder


def finished_steps(checkpoints: Path) -> list[int]:
    """Return the steps whose checkpoints came to their end, whether they can be read or not."""
    names = {folder.name.removeprefix("step-"): folder for folder in checkpoints.glob("step-*")}
    return [int(name) for name in names if name.isdigit() and not is_cut_short(names[name])]


class CheckpointReader:
    """Any elements of a checkpoint, from the files that hold them."""

    def __init__(self, folder: Path, index: CheckpointIndex) -> None:
        self._folder = folder
        self._index = index
        self._opened: dict[str, Any] = {}

    def files(self, rank: int, world_size: int) -> list[str]:
        """Return the files that a rank of a group of `world_size` reads from."""
        writers = {
            writer
            for shape in self._index.shapes.values()
            for writer, _, _ in self._holders(
                _numel(shape), *share(_numel(shape), rank, world_size)
            )
        }
        return [file_of(kind, writer) for kind in KINDS for writer in sorted(writers)]

    def read(self, kind: Kind, part: Part) -> torch.Tensor:
        """Return the elements of a part, float32 [stop - start].

        Raises TrainingError when the checkpoint is of another model.
        """
        if self._index.shapes.get(part.name) != part.shape:
            raise TrainingError(
                f"{self._folder} is of another model: {part.name} is "
                f"{self._index.shapes.get(part.name)} there and {part.shape} here; "
                f"delete {self._folder.parent} and run again"
            )
        found = [
            self._open(file_of(kind, writer)).get_slice(part.name)[start:stop]
            for writer, start, stop in self._holders(_numel(part.shape), part.start, part.stop)
        ]
        return torch.cat(found) if found else torch.zeros(0)

    def _holders(self, numel: int, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield (writer, first, last + 1 in its part) of the ranks that hold [start, stop)."""
        for writer in range(self._index.world_size):
            begin, end = share(numel, writer, self._index.world_size)
            first, last = max(begin, start), min(end, stop)
            if first < last:
                yield writer, first - begin, last - begin

    def _open(self, name: str) -> Any:
        if name not in self._opened:
            try:
                self._opened[name] = safe_open(self._folder / name, framework="pt")
            except SafetensorError as error:
                raise TrainingError(
                    f"{self._folder / name} is no safetensors file ({error}), although its "
                    "checkpoint says so; delete that checkpoint's folder and run again"
                ) from error
        return self._opened[name]


def _numel(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


def is_as_written(folder: Path, index: CheckpointIndex, name: str) -> bool:
    """Whether a file of a checkpoint is there, byte for byte."""
    try:
        return sha256_file(folder / name) == index.sha256[name]
    except OSError:
        return False


def prune(checkpoints: Path, policy: CheckpointPolicy, *, unfit: Collection[int] = ()) -> None:
    """Remove the checkpoints that no rule keeps, and those that were cut short."""
    steps = [step for step, _ in newest_first(checkpoints)]
    for folder in checkpoints.glob("step-*"):
        if is_cut_short(folder):
            _remove(folder)
    for step in too_old(steps, [step for step in steps if step not in unfit], policy):
        _remove(folder_of(checkpoints, step))


def is_cut_short(folder: Path) -> bool:
    """Whether a save did not come to its end; what a far disk cannot read now is another matter."""
    try:
        (folder / INDEX).stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def too_old(steps: Iterable[int], whole: Iterable[int], policy: CheckpointPolicy) -> list[int]:
    """Return the steps before the newest whole checkpoints that are not to be kept for good."""
    newest = sorted(whole)[-policy.keep_last :]
    every = policy.keep_every_steps
    return [
        step for step in steps if newest and step < newest[0] and (every is None or step % every)
    ]


def _remove(folder: Path) -> None:
    """Remove a checkpoint; first its index: a folder half removed must not count."""
    (folder / INDEX).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def digest(index: CheckpointIndex) -> str:
    """Return the sha256 of what a checkpoint holds: equal for equal states of as many ranks."""
    text = json.dumps([index.step, index.updates, index.shapes, index.sha256], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def weights_of(
    reader: CheckpointReader, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every parameter's float32 value, one at a time."""
    for name, shape in shapes.items():
        part = Part(name, shape, 0, _numel(shape))
        yield name, reader.read("weight", part).view(shape)
