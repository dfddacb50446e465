"""What a run has cost in the time of its ranks, over all its starts, and where it has to stop.

`spent.json` in the folder of the stage's run has worker seconds (ranks times seconds) and, where
the profile knows a price, dollars: both added up, because a later start may be on other machines.
Where checkpoints are copied it is copied with them, and a start goes on from whichever of the two
says more: the folder may have been lost, or be another machine's of long ago.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from polylm_core.errors import StageError, TrainingError
from polylm_core.remote import InputFile, below, fetch
from polylm_core.remote_folder import children, upload
from polylm_core.settings import Budget
from polylm_core.storage import write_atomic
from polylm_core.worker import WorkerContext

SPENT_FILE = "spent.json"
WRITE_SECONDS = 10.0
"""A killed run forgets at most so much of what it spent."""
SECONDS_AN_HOUR = 3600


class Spent(BaseModel):
    """What was spent so far."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    worker_seconds: float = 0.0
    usd: float = 0.0


def read_spent(folder: Path) -> Spent:
    """Return what the runs of a folder have spent, nothing before their first start.

    Raises TrainingError when the file cannot be read: to begin at nothing would lift the ceiling.
    """
    path = folder / SPENT_FILE
    return _read(path, str(path)) if path.is_file() else Spent()


def recall_spent(folder: Path, storage: str | None) -> None:
    """Write down again what was spent, where the copy beside the checkpoints says more.

    Raises SourceError when the storage does not answer, TrainingError as `read_spent`.
    """
    if storage is None or SPENT_FILE not in children(below(storage, folder.name)):
        return
    address = _address(folder, storage)
    with tempfile.TemporaryDirectory(prefix="polylm-spent-") as scratch:
        copy = Path(scratch) / SPENT_FILE
        fetch(InputFile(SPENT_FILE, address), copy)
        kept = _read(copy, address)
    if kept.worker_seconds > read_spent(folder).worker_seconds:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / SPENT_FILE, kept.model_dump_json().encode())


def copy_spent(folder: Path, storage: str | None) -> None:
    """Copy what was spent to where the checkpoints go; raises MachineError when it cannot be."""
    if storage is not None and (folder / SPENT_FILE).is_file():
        upload(folder / SPENT_FILE, _address(folder, storage))


def require_left(folder: Path, budget: Budget | None, storage: str | None = None) -> None:
    """Raise StageError when a run has cost what it may; else as `recall_spent`."""
    if budget is None:
        return
    recall_spent(folder, storage)
    if (spent := read_spent(folder)).usd >= budget.max_usd:
        raise _refusal(spent, budget, folder)


def _address(folder: Path, storage: str) -> str:
    return below(below(storage, folder.name), SPENT_FILE)


def _read(file: Path, name: str) -> Spent:
    try:
        return Spent.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise TrainingError(
            f"{name} does not say what the run has spent; write "
            f'{{"worker_seconds": ..., "usd": ...}} as far as it is known, or remove it (and its '
            "copy beside the checkpoints' copies) to count from nothing"
        ) from error


class Meter:
    """The time of one start's ranks, counted by each and written by the first of them."""

    def __init__(
        self,
        folder: Path,
        context: WorkerContext,
        budget: Budget | None,
        storage: str | None = None,
    ) -> None:
        if context.rank == 0:
            recall_spent(folder, storage)
        self._folder = folder
        self._world_size = context.world_size
        self._writes = context.rank == 0
        self._budget = budget
        self._before = read_spent(folder)
        self._started = self._written = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.write()

    @property
    def spent(self) -> Spent:
        """Return what the run has spent by now."""
        seconds = self._world_size * (time.monotonic() - self._started)
        price = (self._budget.usd_per_worker_hour if self._budget else None) or 0.0
        return Spent(
            worker_seconds=self._before.worker_seconds + seconds,
            usd=self._before.usd + seconds * price / SECONDS_AN_HOUR,
        )

    def over(self) -> bool:
        """Whether the run has cost what it may; asked once a step, and written now and then."""
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self.write()
        return self._budget is not None and self.spent.usd >= self._budget.max_usd

    def refusal(self) -> StageError:
        """Return the error with which a run stops at its ceiling."""
        assert self._budget is not None
        return _refusal(self.spent, self._budget, self._folder)

    def write(self) -> None:
        """Write down what was spent by now."""
        if self._writes:
            self._written = time.monotonic()
            write_atomic(self._folder / SPENT_FILE, self.spent.model_dump_json().encode())


def _refusal(spent: Spent, budget: Budget, folder: Path) -> StageError:
    hours = spent.worker_seconds / SECONDS_AN_HOUR
    return StageError(
        f"the run has cost ${spent.usd:,.2f} in {hours:,.2f} hours of its ranks, the ceiling is "
        f"${budget.max_usd:,.2f} (training.budget.max_usd in the profile); its state is kept in "
        f"{folder}: raise the ceiling and run again to go on from there"
    )
