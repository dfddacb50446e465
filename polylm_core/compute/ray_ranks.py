"""One rank under Ray Train: what it is told of its group's machines, and its work."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import ray
import ray.train
from ray.util.queue import Queue

from polylm_core.compute.backend import resolve
from polylm_core.compute.process import die_with_process
from polylm_core.compute.ray_machines import Bundle, claimed, fits
from polylm_core.loading import importing
from polylm_core.redaction import hidden_in_errors, hide_from_output
from polylm_core.worker import Regroup

NOTICE_POLL_SECONDS = 2.0
"""How often a rank asks whether a machine is leaving; Ray itself looks every 5 seconds."""
CLAIM_SECONDS = 30.0
"""How long the largest group is asked for before smaller ones are tried."""
CLOSE_SECONDS = 10.0
LEAVING = "leaving"
GROWING = "growing"


class Notices:
    """What is known of machines that leave and come, kept up to date by threads.

    `more` are the numbers of ranks, falling, that the group would be glad to have beside its own.
    """

    def __init__(self, more: Sequence[int], bundle: Bundle) -> None:
        self.leaving = False
        self.growing = False
        self._stop = threading.Event()
        threading.Thread(target=self._await_notice, name="notice", daemon=True).start()
        self._claiming: threading.Thread | None = None
        if more:
            self._claiming = threading.Thread(
                target=self._await_machines, args=(more, bundle), name="claim", daemon=True
            )
            self._claiming.start()

    def _await_notice(self) -> None:
        """Ask Ray Train, all ranks the same number of times: each call waits for the others."""
        with suppress(ray.exceptions.RayError):  # the group is at its end
            while not (self.leaving or self._stop.wait(NOTICE_POLL_SECONDS)):
                self.leaving = ray.train.get_preemption_info() is not None

    def _await_machines(self, more: Sequence[int], bundle: Bundle) -> None:
        """Ask the cluster for the machines of more ranks until it has some.

        The claim is also what makes an autoscaler bring them.
        """
        with suppress(ray.exceptions.RayError):
            while not (self.growing or self._stop.is_set()):
                with claimed(bundle, more[0]) as most:
                    until = time.monotonic() + CLAIM_SECONDS
                    while time.monotonic() < until and not self._stop.is_set():
                        if most.wait(1):
                            self.growing = True
                            self._stop.wait()  # nobody else may have them meanwhile
                self.growing = self.growing or any(fits(bundle, count) for count in more[1:])

    def close(self) -> None:
        """Give back what was claimed; the other thread dies with the process."""
        self._stop.set()
        if self._claiming is not None:
            self._claiming.join(timeout=CLOSE_SECONDS)


class _RayContext:
    def __init__(self, reports: Queue, notices: Notices) -> None:
        train = ray.train.get_context()
        self.rank: int = train.get_world_rank()
        self.world_size: int = train.get_world_size()
        self._reports = reports
        self._notices = notices

    def report(self, metrics: Mapping[str, float]) -> None:
        if self.rank == 0:
            self._reports.put(dict(metrics))

    def leaving(self) -> bool:
        return self._notices.leaving

    def growing(self) -> bool:
        return self._notices.growing


def run_rank(loop: dict[str, Any]) -> str | None:
    """Do a rank's work; return why the group is to begin again, or none when all is done."""
    if loop["driver_pid"] is not None:
        die_with_process(loop["driver_pid"])
    hide_from_output()
    train = ray.train.get_context()
    rank, world = train.get_world_rank(), train.get_world_size()
    with importing():
        import torch  # costs 2 s; only ranks need it here

    torch.set_num_threads(loop["threads"])
    more = [size - world for size in loop["sizes"] if size > world and rank == 0]
    notices = Notices(more, loop["bundle"])
    try:
        with hidden_in_errors():
            resolve(loop["worker"])(_RayContext(loop["reports"], notices), loop["config"])
    except Regroup:
        return LEAVING if notices.leaving else GROWING
    finally:
        notices.close()
    return None
