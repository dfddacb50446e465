"""Units of work as Ray tasks, and training ranks under Ray Train.

Ray is joined only at an explicit address; without one a private local Ray is started, which dies
with this process. `ray.init()` without an address would join any cluster it finds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from polylm_core.compute import private_ray, ray_traces
from polylm_core.compute.backend import Item, Result, private_ray_problem, usable
from polylm_core.compute.ray_faults import in_words, not_joined
from polylm_core.compute.ray_machines import DEFAULT_PATIENCE, Patience, choose, require_total
from polylm_core.compute.ray_ranks import GROWING, LEAVING, run_rank
from polylm_core.compute.restarts import Restarts, last_line
from polylm_core.errors import InfrastructureError, MachineError, PolyLMError
from polylm_core.progress import TerminalProgress
from polylm_core.redaction import hidden_in_errors, hide_from_output

MAX_UNIT_RETRIES = 3
"""How often a unit of work is done again after its worker or node died."""
REPORT_POLL_SECONDS = 0.5
FAILED = "failed"
_REASONS = {
    FAILED: "from the last checkpoint",
    LEAVING: "a machine is leaving",
    GROWING: "there are machines for more",
}


class RayBackend:
    """A Ray cluster, joined or private."""

    def __init__(
        self,
        *,
        address: str | None,
        training_workers: int,
        threads_per_worker: int,
        use_gpu: bool,
        private_cpus: int,
        patience: Patience = DEFAULT_PATIENCE,
        on_wait: Callable[[str], None] | None = None,
        traces: Path | None = None,
    ) -> None:
        """What people should see of units' waiting goes to `on_wait`, Ray's books to `traces`."""
        self._traces = traces
        self._address = address
        self._training_workers = training_workers
        self._threads_per_worker = threads_per_worker
        self._use_gpu = use_gpu
        self._private_cpus = private_cpus
        self._patience = patience
        self._on_wait = on_wait or TerminalProgress().say

    @property
    def training_workers(self) -> int:
        """Most ranks that `launch` runs."""
        return self._training_workers

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield results in the order of `items`; Ray keeps as many under way as it has CPUs.

        A unit whose worker or node dies is done again on another, so a unit must write its files
        whole and the same each time: the lost one may go on for a moment. An error of a unit is
        raised at once. Raises InfrastructureError for a unit that is lost `MAX_UNIT_RETRIES` + 1
        times, and when a joined cluster has no machine for any within the patience.
        """
        if not items:
            return
        with self._cluster(), ray_traces.kept(self._traces, self._on_wait):
            if self._address is not None:
                choose({"CPU": 1}, [1], self._patience, self._on_wait)
            task: Any = ray.remote(
                num_cpus=1, max_retries=MAX_UNIT_RETRIES, retry_exceptions=False
            )(_in_folder)
            here = str(Path.cwd())
            for reference in [task.remote(here, function, item) for item in items]:
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise _cause(error) from error
                except ray.exceptions.RayError as error:
                    raise InfrastructureError(
                        f"a unit of work was lost {MAX_UNIT_RETRIES + 1} times with the process "
                        f"or machine that did it, most likely for want of memory "
                        f"({last_line(error)}); run again, finished work is kept"
                    ) from error

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
        """Run the ranks under Ray Train; the group starts again when one of them dies.

        Each start takes the largest of the sizes that there are machines for. Ray's own restarts
        are off: it repeats every error, also those a restart cannot mend.
        """
        usable_sizes = usable(sizes, self._training_workers)
        restarts = Restarts(on_report, on_note, work)
        patience = self._patience
        while True:
            # A new connection for each group: what a lost one left on the cluster, its claims on
            # machines above all, goes with the connection it came by.
            with self._cluster(), ray_traces.kept(work, on_note):
                if self._address is None:
                    usable_sizes = require_total(self._bundle, usable_sizes)
                size = choose(self._bundle, usable_sizes, patience, on_note)
                loop = self._loop(worker, config, usable_sizes)
                with _reports_to(restarts.report) as loop["reports"]:
                    why = self._run_group(self._trainer(loop, work, size), restarts)
            if why is None:
                return
            on_note(f"the {size} ranks begin again: {_REASONS[why]}")
            patience = self._patience
            if why == GROWING:
                patience = replace(patience, full_size_seconds=0.0)

    def _run_group(self, trainer: TorchTrainer, restarts: Restarts) -> str | None:
        """Run a group to its end; return why another is to go on, or none when all is done."""
        try:
            result: Any = trainer.fit()
        except ray.train.TrainingFailedError as error:
            cause = _training_cause(error)
            if cause is not None:
                raise cause from error
            restarts.failed(error)
        except ray.exceptions.RayError as error:  # Ray Train's own process has died
            restarts.failed(error)
        else:
            why: str | None = result.return_value
            return why
        return FAILED

    def _loop(self, worker: str, config: Mapping[str, Any], sizes: list[int]) -> dict[str, Any]:
        """Return what `run_rank` is told, but for the queue of its reports."""
        return {
            "worker": worker,
            "config": dict(config),
            "sizes": sizes,
            "bundle": self._bundle,
            "threads": self._threads_per_worker,
            "driver_pid": os.getpid() if self._address is None else None,
        }

    @property
    def _bundle(self) -> dict[str, float]:
        return {"CPU": self._threads_per_worker, **({"GPU": 1} if self._use_gpu else {})}

    def _trainer(self, loop: dict[str, Any], work: Path, size: int) -> TorchTrainer:
        # Ray's annotations are those of its Train's first version.
        loop_of_rank: Any = run_rank
        no_restarts: Any = {
            "max_failures": 0,
            "max_preemption_failures": 0,
            "controller_failure_limit": 0,
        }
        return TorchTrainer(
            loop_of_rank,
            train_loop_config=loop,
            torch_config=TorchConfig(backend="nccl" if self._use_gpu else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=size,
                use_gpu=self._use_gpu,
                resources_per_worker=self._bundle,
            ),
            run_config=RunConfig(
                name=work.name,
                storage_path=str((work / "ray").absolute()),
                failure_config=FailureConfig(**no_restarts),
            ),
        )

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        """Join the declared cluster, or run a private one; its faults are told in words."""
        environment = {"env_vars": _worker_environment(self._threads_per_worker)}
        if self._address is not None:
            self._join(self._address, environment)
        else:
            self._start_private(environment)
        where = f"the Ray cluster at {self._address}" if self._address else "the private Ray"
        try:
            with in_words(where):
                yield
        finally:
            ray.shutdown()

    def _join(self, address: str, environment: dict[str, Any]) -> None:
        try:
            ray.init(address=address, log_to_driver=True, runtime_env=environment)
        except Exception as error:  # Ray has no class of its own for it
            ray.shutdown()
            raise not_joined(address, error) from error

    def _start_private(self, environment: dict[str, Any]) -> None:
        if (problem := private_ray_problem(self._private_cpus)) is not None:
            raise MachineError(problem)
        folder = private_ray.private_ray_folder()
        private_ray.set_up_private()
        try:
            ray.init(
                address="local",
                num_cpus=self._private_cpus,
                include_dashboard=False,
                log_to_driver=False,
                _temp_dir=str(folder),
                runtime_env=environment,
                _system_config=private_ray.SYSTEM_CONFIG,
            )
            private_ray.require_shut()
        except MachineError:
            ray.shutdown()
            raise
        except Exception as error:  # Ray raises no narrower one when its processes are too slow
            ray.shutdown()
            raise MachineError(
                f"a private Ray does not start in {folder} ({last_line(error)}); its logs are "
                f"there, `make stop` ends what an earlier one left"
            ) from error


def _worker_environment(threads: int) -> dict[str, str]:
    return {
        "OMP_NUM_THREADS": str(threads),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


def _in_folder(folder: str, function: Callable[[Item], Result], item: Item) -> Result:
    """Work where the driver works: a joined cluster's workers stand where it was started."""
    hide_from_output()
    os.chdir(folder)
    with hidden_in_errors():
        return function(item)


@contextmanager
def _reports_to(on_report: Callable[[Mapping[str, float]], None]) -> Iterator[Queue]:
    """Hand the ranks' reports to `on_report` in this process while the block runs."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    # Beside this process: with another machine the reports of a group would be lost.
    reports = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    stop = threading.Event()

    def relay() -> None:
        while True:
            try:
                on_report(reports.get(timeout=REPORT_POLL_SECONDS))
            except Empty:
                if stop.is_set():  # and nothing is left to hand on
                    return
            except ray.exceptions.RayError:
                return  # the queue has gone, before it was there or with the cluster

    thread = threading.Thread(target=relay, name="reports", daemon=True)
    thread.start()
    try:
        yield reports
    finally:
        stop.set()
        thread.join(timeout=5 * REPORT_POLL_SECONDS)
        reports.shutdown(force=True)


def _cause(error: ray.exceptions.RayTaskError) -> BaseException:
    cause = error.cause
    return cause if isinstance(cause, BaseException) else error


def _training_cause(error: Any) -> PolyLMError | None:
    """Return the project's own error behind a failed run, if there is one."""
    for failure in getattr(error, "worker_failures", {}).values():
        cause = getattr(failure, "cause", failure)
        if isinstance(cause, PolyLMError):
            return cause
    return None
