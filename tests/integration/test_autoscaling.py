"""From zero: a cluster without a machine for ranks brings two up because a run asks for them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from benchmarks.engine.machines import processes_naming
from polylm_core.training.events import read_events
from tests.clone import ROOT, free_port

ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled"}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def scaling(address: str) -> dict[str, object]:
    """A head without processors and up to two machines with one each, as Ray's provider for tests
    starts them: raylets of this machine. Every key of the form has to be there."""
    workers = {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2}
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    empty: dict[str, object] = {
        name: []
        for name in (
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
    }
    return {
        **empty,
        "cluster_name": "from-zero",
        "max_workers": 2,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "docker": {},
        "auth": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": address,
            "launch_multiple": True,
        },
        "available_node_types": {"ray.head.default": head, "ray.worker": workers},
        "head_node_type": "ray.head.default",
    }


@pytest.fixture
def address() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="polylm-ray-", dir="/tmp")  # a socket's path is short
    port = free_port()
    config = Path(folder) / "scaling.yaml"
    config.write_text(yaml.safe_dump(scaling(f"127.0.0.1:{port}")))
    ray = Path(sys.executable).with_name("ray")
    head = subprocess.Popen(
        [
            *(str(ray), "start", "--head", "--block", f"--port={port}", "--num-cpus=0"),
            *("--node-ip-address=127.0.0.1", "--include-dashboard=false"),
            *(f"--temp-dir={folder}", f"--autoscaling-config={config}"),
        ],
        env={**ENVIRONMENT, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"},
        stdout=(Path(folder) / "head.log").open("wb"),
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in (Path(folder) / "head.log").read_text():
            assert head.poll() is None, (Path(folder) / "head.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        head.kill()
        head.wait()
        while pids := processes_naming(folder):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_cluster_without_machines_brings_up_those_a_run_asks_for(
    address: str, tmp_path: Path
) -> None:
    job = [sys.executable, "-m", "benchmarks.engine.chaos_job", str(tmp_path), "20", address]
    done = subprocess.run(job, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    events = read_events(tmp_path / "run/events.jsonl")
    assert [row["world_size"] for row in events if row["event"] == "start"] == [2]
