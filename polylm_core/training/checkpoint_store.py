"""Where the checkpoints of a run lie: its folder, and a copy elsewhere if the profile names one.

Copying goes on beside training: every rank copies its own files, and when all have, the first rank
copies the index, without which the copy does not count. The first rank also copies the run's books,
and fetches them where the run's folder was lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch

from polylm_core.errors import MachineError, PolyLMError, SourceError, TrainingError
from polylm_core.remote import InputFile, below, fetch
from polylm_core.remote_folder import children, remove, upload
from polylm_core.settings import CheckpointPolicy
from polylm_core.storage import replacing
from polylm_core.training import checkpoint
from polylm_core.training.checkpoint import INDEX, CheckpointIndex, CheckpointReader
from polylm_core.training.engine import KINDS, Engine
from polylm_core.training.events import Events
from polylm_core.training.skips import SKIPS_FILE
from polylm_core.training.spending import copy_spent

Told = TypeVar("Told")
BOOKS = ("metrics.jsonl", SKIPS_FILE, "events.jsonl")
"""What a run wrote of itself and goes on from, in its folder; copied with every checkpoint."""
LONGEST_COPY = timedelta(hours=6)
"""How long the ranks wait for a checkpoint's copy before they count as hanging: what a machine
with eight ranks of PolyLM-13B's 32 * 8 has, 5 GB, takes that long at 0.23 MB/s."""
COPY_POLL_SECONDS = 0.5
"""How often ranks that wait for a copy ask the others: one collective has a time-out of its own."""
MAX_FAILED_COPIES = 5
"""Copies in a row that may fail before the run ends; the first of a run may not."""


class CheckpointStore:
    """The checkpoints of one run, for one rank; every rank must call each method."""

    def __init__(
        self, work: Path, policy: CheckpointPolicy, events: Events, account: Path | None = None
    ) -> None:
        self.folder = work / "checkpoints"
        self._work = work
        self._account = account or work  # where what was spent is written
        self._policy = policy
        self._events = events
        self._remote = None if policy.storage is None else below(policy.storage, work.name)
        self._copier = ThreadPoolExecutor(1, thread_name_prefix="checkpoint-copy")
        self._copying: tuple[CheckpointIndex, Future[None]] | None = None
        self._failed_copies = MAX_FAILED_COPIES - 1  # the first one shows whether it can be done
        self._unfit: set[int] = set()
        """Steps whose checkpoints are damaged or do not count; they replace no older one."""
        self._missing = ""  # what this rank last looked for in vain
        self._known: set[int] = set()  # steps that had a checkpoint when the run resumed
        if self._remote is not None and torch.distributed.get_rank() == 0:
            self._fetch_books(self._remote)

    def _fetch_books(self, remote: str) -> None:
        missing = [name for name in BOOKS if not (self._work / name).exists()]
        for name in set(missing) & set(children(remote)):
            with replacing(self._work / name) as partial:
                fetch(InputFile(name, below(remote, name)), partial)

    def save(self, engine: Engine, step: int) -> None:
        """Save the state after `step` steps, and start to copy it."""
        self.finish_copy()
        self._forget_copy(step)
        index = checkpoint.save(engine, self.folder, step)
        self._unfit.discard(step)
        if checkpoint.leads_machine():
            checkpoint.prune(self.folder, self._policy, unfit=self._unfit)
        self._events.add("checkpoint", step, state=checkpoint.digest(index))
        if self._remote is not None:
            self._copying = index, self._copier.submit(self._copy, index)

    def _forget_copy(self, step: int) -> None:
        """Remove an older copy of a step that is saved again, so that its index counts no more."""
        if step not in self._known:
            return
        self._known.discard(step)
        if self._remote is not None and torch.distributed.get_rank() == 0:
            try:
                remove(self._folder_address(step), first=INDEX)
            except PolyLMError as error:  # what lies there is found damaged when it is wanted
                self._events.add("checkpoint-not-removed", step, error=str(error))

    def _copy(self, index: CheckpointIndex) -> None:
        folder = checkpoint.folder_of(self.folder, index.step)
        for kind in KINDS:
            name = checkpoint.file_of(kind, torch.distributed.get_rank())
            upload(folder / name, self._address(index.step, name))
        if torch.distributed.get_rank() == 0 and self._remote is not None:
            for book in filter(Path.exists, (self._work / name for name in BOOKS)):
                upload(book, below(self._remote, book.name))
            copy_spent(self._account, self._policy.storage)

    @property
    def copying(self) -> bool:
        """Whether a checkpoint is on its way to the storage; all ranks say the same."""
        return self._copying is not None

    def copied(self) -> bool:
        """Whether this rank has nothing left to copy."""
        return self._copying is None or self._copying[1].done()

    def finish_copy(self) -> None:
        """Wait until all ranks have copied, then make the copy count and drop what is too old.

        A copy that fails is left: the checkpoint is there, and the next one is copied again.
        Raises MachineError on all ranks when the first one fails, or `MAX_FAILED_COPIES` in a row.
        """
        if self._copying is None:
            return
        index, copying = self._copying
        while not all(_gathered(done := copying.done())):
            if done:
                time.sleep(COPY_POLL_SECONDS)
            else:
                wait([copying], COPY_POLL_SECONDS)
        error = _agreed(copying.exception()) or _agreed(self._count_copy(index.step))
        self._copying = None
        if error is None:
            self._failed_copies = 0
            self._events.add("checkpoint-copied", index.step)
            return
        self._failed_copies += 1
        self._events.add("checkpoint-not-copied", index.step, error=str(error))
        if self._failed_copies >= MAX_FAILED_COPIES:
            raise error

    def _count_copy(self, step: int) -> PolyLMError | None:
        """Copy the index when everything else is there; return why it could not be done."""
        if torch.distributed.get_rank() == 0:
            try:
                folder = checkpoint.folder_of(self.folder, step)
                upload(folder / INDEX, self._address(step, INDEX))
                self._prune_remote()
            except PolyLMError as error:
                return error
        return None

    def restore(
        self, engine: Engine, *, counts: Callable[[int], bool] = lambda step: True
    ) -> int | None:
        """Restore the newest checkpoint whose every needed byte is as written; return its step.

        `counts` says of a step's checkpoint whether it may be gone on from. None is restored, and
        none returned, where no save has come to its end. Raises TrainingError where some have and
        none of them can be gone on from: to begin again is not for a run to decide.
        """
        steps = self.steps()
        self._known = set(steps)
        unfit: dict[int, str] = {}
        for step in steps:
            if not counts(step):
                self._unfit.add(step)
                self._events.add("checkpoint-void", step)
                unfit[step] = "the run went back to before it"
                continue
            index, why = self._obtain(step)
            if index is None:
                self._unfit.add(step)
                self._events.add("checkpoint-damaged", step, why=why)
                unfit[step] = why
                continue
            reader = CheckpointReader(checkpoint.folder_of(self.folder, step), index)
            engine.restore(reader.read, index.updates)
            return step
        self._require_none_finished(unfit)
        return None

    def _require_none_finished(self, unfit: Mapping[int, str]) -> None:
        """Raise TrainingError on all ranks when a save, or its copy, came to its end on any."""
        mine = set(unfit) & set(checkpoint.finished_steps(self.folder))
        if self._remote is not None and torch.distributed.get_rank() == 0:
            mine |= {step for step in unfit if INDEX in children(self._folder_address(step))}
        if not (finished := _union(mine)):
            return
        reasons = [f"step {step}: {unfit[step]}" for step in finished]
        places = [str(self.folder), *([] if self._remote is None else [self._remote])]
        raise TrainingError(
            f"no checkpoint in {' and '.join(places)} can be gone on from ({'; '.join(reasons)}). "
            f"Mend what is wrong there, or delete {' and '.join(places)} to train anew"
        )

    def weights(self, step: int) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every parameter's value after `step` steps, one at a time, on any rank alone.

        Raises TrainingError when that checkpoint is not, or no longer, as it was written.
        """
        folder = checkpoint.folder_of(self.folder, step)
        index = checkpoint.read_index(folder)
        if index is None:
            raise TrainingError(f"{folder} is no whole checkpoint; delete it and run again")
        for rank in range(index.world_size):
            name = checkpoint.file_of("weight", rank)
            if not self._has(folder, index, name):
                raise TrainingError(
                    f"{folder / name} is not as it was written, or on another machine's disk; "
                    "declare training.checkpoints.storage in the profile, or share the run's folder"
                )
        yield from checkpoint.weights_of(CheckpointReader(folder, index), index.shapes)

    def steps(self) -> list[int]:
        """Steps that any rank knows a checkpoint of, the newest first."""
        known = set(checkpoint.finished_steps(self.folder))
        if torch.distributed.get_rank() == 0:
            known |= set(self._remote_steps())
        return _union(known)

    def _obtain(self, step: int) -> tuple[CheckpointIndex | None, str]:
        """Return the index when every rank has, or has fetched, all it needs; else why not."""
        self._missing = ""
        folder = checkpoint.folder_of(self.folder, step)
        folder.mkdir(parents=True, exist_ok=True)
        index = checkpoint.read_index(folder) or self._fetched_index(folder, step)
        mine = ""
        if index is not None:
            reader = CheckpointReader(folder, index)
            rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
            names = reader.files(rank, world)
            if all(self._has(folder, index, name) for name in names):
                mine = checkpoint.digest(index)
        elif not self._missing:
            self._missing = f"{folder / INDEX} is missing or not as it was written"
        every = _gathered((mine, self._missing))
        whole = mine and {digest for digest, _ in every} == {mine}
        why = [f"rank {rank}: {missing}" for rank, (_, missing) in enumerate(every) if missing]
        return (index if whole else None), "; ".join(why)

    def _has(self, folder: Path, index: CheckpointIndex, name: str) -> bool:
        if checkpoint.is_as_written(folder, index, name):
            return True
        self._missing = f"{folder / name} is not as it was written"
        return self._fetch(folder / name, index.step, index.sha256[name])

    def _fetched_index(self, folder: Path, step: int) -> CheckpointIndex | None:
        return checkpoint.read_index(folder) if self._fetch(folder / INDEX, step, None) else None

    def _fetch(self, target: Path, step: int, sha256: str | None) -> bool:
        if self._remote is None:
            return False
        file = InputFile(target.name, self._address(step, target.name), sha256)
        try:
            with replacing(target) as partial:
                fetch(file, partial)
        except SourceError as error:
            self._missing = str(error)
            return False
        return True

    def _remote_steps(self) -> list[int]:
        names = [] if self._remote is None else children(self._remote)
        return [int(name.removeprefix("step-")) for name in names if name.startswith("step-")]

    def _folder_address(self, step: int) -> str:
        if self._remote is None:
            raise TrainingError("no checkpoint storage is declared in the profile")
        return below(self._remote, f"step-{step:08d}")

    def _address(self, step: int, name: str) -> str:
        return below(self._folder_address(step), name)

    def _prune_remote(self) -> None:
        """Remove copies that are too old; one without its index replaces no older one either."""
        steps, whole = sorted(self._remote_steps(), reverse=True), list[int]()
        for step in steps:
            if len(whole) < self._policy.keep_last and step not in self._unfit:
                whole += [step] if INDEX in children(self._folder_address(step)) else []
        for step in checkpoint.too_old(steps, whole, self._policy):
            remove(self._folder_address(step), first=INDEX)


def _gathered(mine: Told) -> list[Told]:
    """Return what each rank tells; every rank must call it."""
    every = [mine] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(every, mine)
    return every


def _union(mine: Collection[int]) -> list[int]:
    """Return the steps that any rank names, the newest first; every rank must call it."""
    return sorted({step for steps in _gathered(sorted(mine)) for step in steps}, reverse=True)


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, PolyLMError) else repr(error)


def _agreed(mine: BaseException | None) -> PolyLMError | None:
    """Return what failed on the first rank that something failed on; every rank must call it."""
    every = _gathered(None if mine is None else _told(mine))
    return next((MachineError(text) for text in every if text is not None), None)
