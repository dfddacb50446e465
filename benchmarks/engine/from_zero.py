"""A Ray cluster that begins without a machine to work on and has one brought when one is asked for.

Ray's own autoscaler (the second, which `ray up` and KubeRay use) with its provider for tests, whose
machines are raylets of this one. The head has no processor for work. Who has no token reaches
nothing of it.
"""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.engine.machines import (
    OBJECT_STORE_BYTES,
    SETTINGS,
    descendants,
    processes_naming,
)
from polylm_core.compute.process import command_of
from polylm_core.errors import MachineError
from polylm_core.storage import write_atomic
from tests.clone import ROOT, free_port

START_SECONDS = 300.0
FORM = "scaling.yaml"
HEAD, WORKER = "ray.head.default", "ray.worker"
HEAD_ID = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"
"""Ray's provider for tests counts from here."""
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
NODE_VARIABLE = "RAY_CLOUD_INSTANCE_ID"
EMPTY_LISTS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
    "rsync_exclude",
    "rsync_filter",
)


def scaling(address: str, *, most: int, idle_seconds: float) -> dict[str, Any]:
    """Return a head without processors and up to `most` machines of one, in Ray's cluster form.

    Every key of the form has to be there.
    """
    resources = {"CPU": 1, "object_store_memory": OBJECT_STORE_BYTES}
    worker = {"resources": resources, "node_config": {}, "min_workers": 0, "max_workers": most}
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    return {
        **{name: [] for name in EMPTY_LISTS},
        "cluster_name": "from-zero",
        "max_workers": most,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": idle_seconds / 60,
        "docker": {},
        "auth": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "provider": {
            "type": "external",  # by its own name it asks for a file that Ray's package lacks
            "module": PROVIDER,
            "gcs_address": address,
            "head_node_id": HEAD_ID,
            "launch_multiple": True,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {HEAD: head, WORKER: worker},
        "head_node_type": HEAD,
    }


@dataclass(frozen=True)
class FromZero:
    """A running cluster."""

    address: str
    folder: Path
    environment: Mapping[str, str]
    """Of whoever talks to it: with its address and the token."""

    def kill(self, machine: str) -> int:
        """End a machine with all that runs on it, at once; return how many processes those were."""
        raylet = self._raylet(machine)
        pids = [raylet, *descendants(raylet)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def give_notice(self, machine: str, seconds: int) -> None:
        """Say that a machine will be taken away, as a spot market's controller does."""
        command = [sys.executable, "-m", "benchmarks.engine.cluster_watch", "notice"]
        arguments = [self.address, machine, str(seconds)]
        subprocess.run([*command, *arguments], env=self.environment, cwd=ROOT, check=True)

    def allow(self, most: int) -> None:
        """Let the autoscaler have so many machines from now on: it reads its form again."""
        path = self.folder / FORM
        form = yaml.safe_load(path.read_text())
        form["max_workers"] = form["available_node_types"][WORKER]["max_workers"] = most
        write_atomic(path, yaml.safe_dump(form).encode())

    def _raylet(self, machine: str) -> int:
        """Pid of the raylet that a machine consists of."""
        mark = f"{NODE_VARIABLE}={machine}".encode()
        for pid in processes_naming(str(self.folder)):
            if "raylet/raylet" not in command_of(pid).split()[0]:
                continue
            with suppress(OSError):
                if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    return pid
        raise MachineError(f"no raylet of the machine {machine} runs")


@contextmanager
def from_zero(*, most: int, idle_seconds: float) -> Iterator[FromZero]:
    """Start the cluster; all of its processes have ended when the block has."""
    folder = Path(tempfile.mkdtemp(prefix="polylm-ray-", dir="/tmp"))  # a socket's path is short
    # Ray makes this address of every name of loopback, and takes two of them for two clusters.
    util: Any = importlib.import_module("ray.util")
    address = f"{util.get_node_ip_address()}:{free_port()}"
    environment = _environment(folder, address)
    (folder / FORM).write_text(
        yaml.safe_dump(scaling(address, most=most, idle_seconds=idle_seconds))
    )
    head = _start_head(folder, address, environment)
    try:
        _await_start(head, folder / "head.log")
        yield FromZero(address, folder, environment)
    finally:
        head.kill()
        head.wait()
        while pids := processes_naming(str(folder)):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path, address: str) -> dict[str, str]:
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    outside = ("PREFECT_", "RAY_", "DVC_", "POLYLM_", "PYTEST_", "AUTOSCALER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RAY_ADDRESS": address,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
    }


def _start_head(
    folder: Path, address: str, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    host, _, port = address.partition(":")
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"),
        *(f"--port={port}", f"--node-ip-address={host}", "--num-cpus=0"),
        *(f"--ray-client-server-port={free_port()}", "--include-dashboard=false"),
        *("--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats"),
        *(f"--dashboard-agent-listen-port={free_port()}", f"--temp-dir={folder}"),
        *(f"--object-store-memory={OBJECT_STORE_BYTES}",),
        f"--autoscaling-config={folder / FORM}",
    ]
    own = {
        **{name: value for name, value in environment.items() if name != "RAY_ADDRESS"},
        **SETTINGS,
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        NODE_VARIABLE: HEAD_ID,
        "RAY_raylet_start_wait_time_s": "240",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "AUTOSCALER_METRIC_PORT": str(free_port()),
    }
    with (folder / "head.log").open("wb") as log:
        return subprocess.Popen(command, env=own, cwd=ROOT, stdout=log, stderr=log)


def _await_start(head: subprocess.Popen[bytes], log: Path) -> None:
    """Raise MachineError with what was said when the head does not come up."""
    deadline = time.monotonic() + START_SECONDS
    while "Ray runtime started" not in log.read_text(errors="replace"):
        if head.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-2000:]
            raise MachineError(f"the head of the cluster did not start: {said}")
        time.sleep(0.2)
