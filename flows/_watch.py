"""Mirrors a stage's progress into Prefect without ever making the stage wait.

The stage only puts messages in a queue; one thread tells Prefect. If the API is gone the thread
says so once and drops what follows.
"""

from __future__ import annotations

import contextvars
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from prefect import get_run_logger, task
from prefect.artifacts import (
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.futures import PrefectFuture

from polylm_core.progress import TerminalProgress, Tracker
from polylm_core.redaction import redacted, redacted_tree

UPDATE_SECONDS = 2.0
"""Least time between two updates of one progress artifact: the server is no metrics store."""
DRAIN_SECONDS = 8.0
"""How long the end of a stage waits for Prefect to take what is left in the queue."""
MAX_TABLE_ROWS = 500


class PrefectProgress:
    """Bars on the terminal; tasks, progress and tables in Prefect."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._terminal = TerminalProgress()
        self._messages: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._gone = False
        self._futures: list[PrefectFuture[None]] = []
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=lambda: context.run(self._relay), name="prefect-mirror", daemon=True
        )
        self._thread.start()

    @contextmanager
    def track(
        self, unit: str, total: int, noun: str = "items", *, done: int = 0
    ) -> Iterator[Tracker]:
        """Run the block as a task of the flow, with a bar and a progress artifact."""
        mirror = _Mirror(self, unit, total, done)
        ended = self._start_task(unit)
        try:
            with self._terminal.track(unit, total, noun, done=done) as bar:
                yield _Both(bar, mirror)
        except BaseException as error:
            ended(error)
            raise
        mirror.finish()
        ended(None)

    def table(self, key: str, rows: Sequence[Mapping[str, object]], description: str) -> None:
        """Publish a table artifact named `<stage>-<key>`."""
        shown = redacted_tree(
            [{name: _plain(value) for name, value in row.items()} for row in rows[:MAX_TABLE_ROWS]]
        )
        self.tell(
            lambda: _ignore(
                create_table_artifact(
                    table=shown, key=_key(f"{self._stage}-{key}"), description=description
                )
            )
        )

    def say(self, message: str) -> None:
        """Print one line, and log it to the flow run."""
        self._terminal.say(message)
        self.tell(lambda: get_run_logger().info(message))

    def tell(self, message: Callable[[], None]) -> None:
        """Queue one call to Prefect."""
        if not self._gone:
            self._messages.put(message)

    def close(self) -> None:
        """Wait a bounded time until Prefect has been told everything."""
        self._messages.put(None)
        self._thread.join(timeout=DRAIN_SECONDS)

    def _start_task(self, unit: str) -> Callable[[BaseException | None], None]:
        """Start a Prefect task that lasts until the returned function is called with its outcome.

        The work stays on the stage's thread, where signals and locks are; the task only waits.
        """
        over = threading.Event()
        outcome: list[BaseException | None] = [None]

        @task(name=unit, task_run_name=unit, retries=0, persist_result=False)
        def unit_of_work() -> None:
            over.wait()
            if outcome[0] is not None:
                raise RuntimeError(redacted(f"{type(outcome[0]).__name__}: {outcome[0]}"))

        self._futures.append(unit_of_work.submit())

        def end(error: BaseException | None) -> None:
            outcome[0] = error
            over.set()

        return end

    def _relay(self) -> None:
        while (message := self._messages.get()) is not None:
            try:
                message()
            except Exception as error:  # watching must never end the work
                self._gone = True
                self._terminal.say(
                    f"warning: Prefect does not answer ({type(error).__name__}); "
                    "the stage goes on unwatched"
                )
                return


class _Mirror:
    """The progress artifact of one unit of work."""

    def __init__(self, progress: PrefectProgress, unit: str, total: int, done: int) -> None:
        self._progress = progress
        self._total = max(1, total)
        self._done = done
        self._id: UUID | None = None
        self._told = time.monotonic()
        progress.tell(lambda: self._create(unit))

    def advance(self, amount: int) -> None:
        self._done += amount
        if time.monotonic() - self._told >= UPDATE_SECONDS:
            self._told = time.monotonic()
            self._progress.tell(self._update)

    def finish(self) -> None:
        self._done = self._total
        self._progress.tell(self._update)

    def _create(self, unit: str) -> None:
        created = create_progress_artifact(
            progress=self._share(), key=_key(f"{self._progress._stage}-{unit}"), description=unit
        )
        self._id = created if isinstance(created, UUID) else None

    def _update(self) -> None:
        if self._id is not None:
            _ignore(update_progress_artifact(self._id, progress=self._share()))

    def _share(self) -> float:
        """Per cent of the unit that is done."""
        return 100.0 * self._done / self._total


class _Both:
    def __init__(self, bar: Tracker, mirror: _Mirror) -> None:
        self._bar = bar
        self._mirror = mirror

    def advance(self, amount: int = 1, note: str = "") -> None:
        self._bar.advance(amount, note)
        self._mirror.advance(amount)


def _key(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _plain(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4)
    return value if isinstance(value, str | int | bool) or value is None else str(value)


def _ignore(_: Any) -> None:
    """Drop a return value inside a lambda that must return none."""
