"""A Prefect server and a process worker of their own, and the deployments of `infra/prefect`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clone import Clone, free_port

POOL = "polylm-test"
UP_SECONDS = 300.0
BUSY_SECONDS = 60.0
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True)
class Deployed:
    """The API of a server that has the deployments of a checkout."""

    url: str
    environment: Mapping[str, str]

    def ask(self, path: str, content: object | None = None) -> Any:
        """Ask the API: a POST with content, or a GET.

        A server whose database is locked for the moment answers 503 and asks nothing else
        than to be asked again, as Prefect's own client does.
        """
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(
            f"{self.url}{path}", data, {"Content-Type": "application/json"}
        )
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                if error.code != 503 or time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def start(self, deployment: str, **parameters: object) -> str:
        """Start a run of a deployment through the API; return its id."""
        found = self.ask(f"/deployments/name/pipeline/{deployment}")
        content = {"parameters": found["parameters"] | parameters}
        return str(self.ask(f"/deployments/{found['id']}/create_flow_run", content)["id"])

    def state(self, run: str) -> str:
        return str(self.ask(f"/flow_runs/{run}")["state_type"])

    def under_way(self) -> list[str]:
        """Names of the runs that Prefect shows as running."""
        running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
        return [run["name"] for run in self.ask("/flow_runs/filter", running)]

    def cancel(self, run: str) -> None:
        """Cancel a run as the UI does."""
        self.ask(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

    def wait_for(self, run: str, states: set[str] = FINAL, seconds: float = 600) -> str:
        deadline = time.monotonic() + seconds
        while (state := self.state(run)) not in states:
            assert time.monotonic() < deadline, f"{run} is {state} after {seconds} s"
            time.sleep(0.2)
        return state

    def logs(self, run: str) -> str:
        chosen = {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200}
        return "\n".join(row["message"] for row in self.ask("/logs/filter", chosen))

    def artifacts(self, run: str) -> str:
        chosen = {"artifacts": {"flow_run_id": {"any_": [run]}}, "limit": 20}
        return json.dumps(self.ask("/artifacts/filter", chosen))


@contextmanager
def deployed(clone: Clone, folder: Path, **settings: str) -> Iterator[Deployed]:
    """Keep a server and a worker running that stands in the clone; `settings` are the server's."""
    port = free_port()
    environment = {
        **clone.environment,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "POLYLM_POOL": POOL,
        "POLYLM_CHECKOUT": str(clone.path),
        **settings,
    }
    place = ["--host", "127.0.0.1", "--port", str(port)]
    started = Deployed(environment["PREFECT_API_URL"], environment)
    with _running(clone, folder / "server.log", environment, "server", "start", *place):
        _wait_for_server(started, folder / "server.log")
        for command in (
            ("work-pool", "create", POOL, "--type", "process"),
            ("work-pool", "set-concurrency-limit", POOL, "1"),
            ("--no-prompt", "deploy", "--all", "--prefect-file", "infra/prefect/prefect.yaml"),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "prefect", *command],
                cwd=clone.path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        worker = ("worker", "start", "--pool", POOL, "--name", "tested")
        with _running(clone, folder / "worker.log", environment, *worker):
            yield started


@contextmanager
def _running(
    clone: Clone, log: Path, environment: Mapping[str, str], *command: str
) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *command],
            cwd=clone.path,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()


def _wait_for_server(started: Deployed, log: Path) -> None:
    deadline = time.monotonic() + UP_SECONDS
    while True:
        try:
            started.ask("/health")
            return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.3)
