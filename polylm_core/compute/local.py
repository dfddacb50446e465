"""Units of work and training ranks as processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Any, Self

from polylm_core.compute.backend import Item, Result, resolve, usable
from polylm_core.compute.process import die_with_parent, die_with_process
from polylm_core.compute.restarts import Restarts
from polylm_core.errors import MachineError, PolyLMError
from polylm_core.loading import importing
from polylm_core.redaction import hide_from_output
from polylm_core.worker import Regroup

THREADS = "OMP_NUM_THREADS"
REPORT_POLL_SECONDS = 0.5
LAST_WORDS_SECONDS = 10.0
"""How long a failed rank's fellows may take to end, so that the error that came first is known."""


def _start_unit_worker(stage_pid: int) -> None:
    """Tie a worker to its stage: its parent is the fork server, which outlives a killed stage."""
    die_with_process(stage_pid)
    hide_from_output()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let what is started now use one thread a process: libraries ask when they are loaded."""
    before = os.environ.get(THREADS)
    os.environ[THREADS] = "1"
    try:
        yield
    finally:
        del os.environ[THREADS]
        if before is not None:
            os.environ[THREADS] = before


class LocalBackend:
    """Processes of this machine."""

    def __init__(self, *, map_workers: int, training_workers: int, threads_per_worker: int) -> None:
        self._map_workers = map_workers
        self._training_workers = training_workers
        self._threads_per_worker = threads_per_worker
        self._pool: ProcessPoolExecutor | None = None
        """Of units, kept from one `map` to the next: to import the libraries and load the kernels
        takes a worker seconds. It ends with the block, or with this object."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_unit_workers()

    @property
    def training_workers(self) -> int:
        """Most ranks that `launch` runs."""
        return self._training_workers

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield results in the order of `items`; a dead worker raises MachineError."""
        if self._map_workers == 1 or len(items) <= 1:
            yield from map(function, items)
            return
        futures: deque[Future[Result]] = deque()
        try:
            pool = self._unit_workers(function)
            futures.extend(pool.submit(function, item) for item in items)
            while futures:  # a result is held until it is yielded, not longer
                yield futures.popleft().result()
        except BrokenProcessPool as error:
            self._end_unit_workers()
            raise MachineError(
                "a worker process was killed, most likely for want of memory; "
                "lower `map_workers` in the profile and run again"
            ) from error
        finally:
            # Nobody waits for what is left: it must not go on in the background.
            wait([future for future in futures if not future.cancel()])

    def _unit_workers(self, function: Callable[..., Any]) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            # A worker is a fork of the fork server and need not import what that has imported.
            named = getattr(function, "func", function)  # of a partial
            context.set_forkserver_preload([named.__module__])
            with _one_thread():
                forkserver.ensure_running()
            self._pool = ProcessPoolExecutor(
                max_workers=self._map_workers,
                mp_context=context,
                initializer=_start_unit_worker,
                initargs=(os.getpid(),),
            )
        return self._pool

    def _end_unit_workers(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

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
        """Run one process a rank, joined by gloo; restart the group when a rank dies."""
        self._end_unit_workers()  # ranks need their memory
        world = usable(sizes, self._training_workers)[0]
        restarts = Restarts(on_report, on_note, work)
        while True:
            errors = self._launch_once(worker, config, world, restarts.report)
            if not errors:
                return
            if isinstance(errors[0], PolyLMError):
                raise errors[0]
            # A lost rank is a BrokenProcessPool, or whatever another rank makes of its silence.
            if not isinstance(errors[0], Regroup):
                restarts.failed(errors[0])
            on_note(f"the {world} ranks begin again")

    def _launch_once(
        self,
        worker: str,
        config: Mapping[str, Any],
        world: int,
        on_report: Callable[[Mapping[str, float]], None],
    ) -> list[BaseException]:
        context = multiprocessing.get_context("spawn")
        manager = SyncManager(ctx=context)
        manager.start(initializer=die_with_parent)
        reports = manager.Queue()
        port = _free_port()
        with manager, ProcessPoolExecutor(max_workers=world, mp_context=context) as pool:
            futures = [
                pool.submit(
                    _run_rank,
                    worker,
                    config,
                    _LocalContext(rank, world, reports),
                    port,
                    self._threads_per_worker,
                )
                for rank in range(world)
            ]
            pending = set(futures)
            while pending and not _errors(futures):
                _, pending = wait(pending, REPORT_POLL_SECONDS, FIRST_EXCEPTION)
                _relay(reports, on_report)
            wait(futures, LAST_WORDS_SECONDS)
            _relay(reports, on_report)
        return _errors(futures)


def _relay(reports: Any, on_report: Callable[[Mapping[str, float]], None]) -> None:
    while not reports.empty():
        on_report(reports.get())


def _errors(futures: Sequence[Future[None]]) -> list[BaseException]:
    """What ranks raised, their own errors before those of ranks that waited for them in vain."""
    found = [error for future in futures if future.done() and (error := future.exception())]
    return sorted(found, key=lambda error: not isinstance(error, PolyLMError | Regroup))


class _LocalContext:
    def __init__(self, rank: int, world_size: int, reports: Any) -> None:
        self.rank = rank
        self.world_size = world_size
        self._reports = reports

    def report(self, metrics: Mapping[str, float]) -> None:
        if self.rank == 0:
            self._reports.put(dict(metrics))

    def leaving(self) -> bool:
        return False  # nobody announces the end of a process

    def growing(self) -> bool:
        return False


def _run_rank(
    worker: str,
    config: Mapping[str, Any],
    context: _LocalContext,
    port: int,
    threads: int,
) -> None:
    die_with_parent()
    hide_from_output()
    os.environ.update(
        RANK=str(context.rank),
        LOCAL_RANK=str(context.rank),
        WORLD_SIZE=str(context.world_size),
        LOCAL_WORLD_SIZE=str(context.world_size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        OMP_NUM_THREADS=str(threads),
    )
    with importing():
        import torch  # costs 2 s and its thread count must be set first

    torch.set_num_threads(threads)
    torch.distributed.init_process_group("gloo", rank=context.rank, world_size=context.world_size)
    try:
        resolve(worker)(context, config)
    finally:
        torch.distributed.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
