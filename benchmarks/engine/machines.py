"""A Ray cluster of several nodes on this machine, which can be taken away and given again.

Every node is a raylet with its own processes: to Ray, and to what runs on it, a machine. Killing it
ends all of them at once, as a power cut does; a notice says beforehand that it will go.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from polylm_core.compute.process import command_of, parent_of

SETTINGS = {
    # A node that does not answer is given up within seconds instead of half a minute.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "5",
}
OBJECT_STORE_BYTES = 10**8
END_SECONDS = 30.0


class Machines:
    """Nodes of one processor each; the first one stays, for it has Ray's books and the driver."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.address: str = ""

    def add(self) -> Any:
        """Start another machine."""
        node = self._cluster.add_node(
            num_cpus=1, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES
        )
        self.address = self._cluster.address
        return node

    @property
    def others(self) -> list[Any]:
        """The machines beside the first one, the oldest first."""
        return sorted(self._cluster.worker_nodes, key=lambda node: raylet_of(node))

    @property
    def first(self) -> Any:
        """The machine that stays."""
        return self._cluster.head_node

    def kill(self, node: Any) -> None:
        """End a machine with all that runs on it, at once."""
        raylet = raylet_of(node)
        pids = [raylet, *descendants(raylet)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)

    def give_notice(self, node: Any, seconds: int) -> None:
        """Tell Ray that a machine will be taken away, as a spot market's controller does."""
        client: Any = importlib.import_module("ray._raylet").GcsClient(address=self.address)
        reasons: Any = importlib.import_module("ray.core.generated.autoscaler_pb2")
        reason = reasons.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline = int((time.time() + seconds) * 1000)
        accepted, why = client.drain_node(node.node_id, reason, "taken back", deadline)
        assert accepted, why


@contextmanager
def machines(count: int) -> Iterator[Machines]:
    """Start so many machines; all processes have ended when the block has."""
    cluster_utils: Any = importlib.import_module("ray.cluster_utils")
    folder = tempfile.mkdtemp(prefix="polylm-ray-", dir="/tmp")  # a socket's path is short
    before = dict(os.environ)
    # In a folder of its own, else it is announced to every Ray of the machine.
    os.environ.update(SETTINGS, RAY_TMPDIR=folder)
    cluster = cluster_utils.Cluster()
    try:
        found = Machines(cluster)
        for _ in range(count):
            found.add()
        yield found
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
        _end(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _end(folder: str) -> None:
    """Wait for the processes of the cluster, and kill what does not end."""
    deadline = time.monotonic() + END_SECONDS
    while pids := processes_naming(folder):
        if time.monotonic() > deadline:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def processes_naming(words: str) -> list[int]:
    """Pids of the processes whose command line has these words."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if words in command_of(pid)]


def raylet_of(node: Any) -> int:
    """Pid of the process that a machine consists of."""
    pid: int = node.all_processes["raylet"][0].process.pid
    return pid


def descendants(pid: int) -> list[int]:
    """Pids of the processes that a process has started, and those have."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    children: dict[int, list[int]] = {}
    for child in pids:
        children.setdefault(parent_of(child), []).append(child)
    found = list(children.get(pid, []))
    for child in found:  # grows while it is gone through
        found += children.get(child, [])
    return found
