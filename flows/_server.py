"""One long-lived local Prefect server for a checkout, started by whoever needs it first.

With `PREFECT_API_URL` set that server is used and nothing is started. Otherwise the server of this
checkout keeps its database in `.prefect/` and listens on loopback at `PREFECT_SERVER_API_PORT`, or
else at the first free port from 4200 on: another checkout or project may have a server of its own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from polylm_core.compute.process import command_of
from polylm_core.errors import LockedError, MachineError
from polylm_core.storage import exclusive_lock, write_atomic

HOST = "127.0.0.1"
DEFAULT_PORT = 4200
NUM_DEFAULT_PORTS = 20
"""Ports from 4200 on that are tried where none is set."""
START_SECONDS = 60.0
STOP_SECONDS = 10.0
ANSWER_SECONDS = 5.0
CONSOLE_LEVEL = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"


def configure(root: Path) -> None:
    """Point Prefect at this checkout's folder and switch its telemetry off, before its import."""
    os.environ.setdefault("PREFECT_HOME", str((root / ".prefect").absolute()))
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "1")
    os.environ.setdefault("PREFECT_API_REQUEST_TIMEOUT", "10")
    # The terminal is the stage's: what it raises is told there once, without a traceback.
    os.environ.setdefault(CONSOLE_LEVEL, "CRITICAL")


def port() -> int:
    """Return the port to start this checkout's server on; raises MachineError when it is none."""
    given = os.environ.get("PREFECT_SERVER_API_PORT")
    if given is None:
        ports = range(DEFAULT_PORT, DEFAULT_PORT + NUM_DEFAULT_PORTS)
        return next((number for number in ports if not _is_taken(number)), DEFAULT_PORT)
    if not given.isdigit():
        raise MachineError(f"PREFECT_SERVER_API_PORT is {given!r}, not a number: set a free port")
    return int(given)


def _record(root: Path) -> Path:
    return root / ".prefect" / "polylm-server.json"


@dataclass(frozen=True)
class Server:
    """The server of a checkout, wherever it listens: there is one database, so there is one."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """Address of its API."""
        return f"http://{HOST}:{self.port}/api"


def running(root: Path) -> Server | None:
    """Return this checkout's living server, or none."""
    try:
        record = json.loads(_record(root).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    server = Server(pid=int(record["pid"]), port=int(record["port"]))
    return server if "prefect" in command_of(server.pid) else None


def port_taken() -> bool:
    """Whether anything listens on `port()`."""
    return _is_taken(port())


def _is_taken(number: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, number)) == 0


def check_port(root: Path) -> None:
    """Raise MachineError when another program holds the port this checkout's server needs."""
    if "PREFECT_API_URL" in os.environ or running(root) is not None:
        return
    if port_taken():
        raise MachineError(
            f"port {port()} is in use by another program; free it, set "
            "PREFECT_SERVER_API_PORT to a free port, or set PREFECT_API_URL to use its Prefect"
        )


def ensure(root: Path) -> str:
    """Return the URL of a Prefect API that answers, starting this checkout's server if need be.

    Raises MachineError when the port is taken or the server does not come up.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        return given
    try:
        with exclusive_lock(
            root / ".prefect" / "start.lock", what="the Prefect server", wait_seconds=START_SECONDS
        ):
            if running(root) is None:
                check_port(root)
                _start(root)
            url = _wait_for_answer(root)
    except LockedError as error:
        raise MachineError(f"the Prefect server is not coming up: {error}") from error
    os.environ["PREFECT_API_URL"] = url
    return url


def answers(url: str) -> bool:
    """Whether a Prefect API answers at `url`."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=ANSWER_SECONDS) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _start(root: Path) -> None:
    """Start the server and write down its pid at once, so that it is found however this ends."""
    number = port()
    environment = {
        **{name: value for name, value in os.environ.items() if name != CONSOLE_LEVEL},
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(number),
        "PREFECT_UI_API_URL": f"http://{HOST}:{number}/api",
        # Any page that a browser of this machine shows could start runs otherwise.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{number},http://localhost:{number}",
    }
    with _log(root).open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start"],
            env=environment,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    record = {"pid": process.pid, "port": number}
    write_atomic(_record(root), json.dumps(record).encode())


def _wait_for_answer(root: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while True:
        server = running(root)
        if server is None:
            raise MachineError(f"the Prefect server ended as it started; see {_log(root)}")
        if answers(server.url):
            return server.url
        if time.monotonic() > deadline:
            raise MachineError(
                f"the Prefect server does not answer after {START_SECONDS:.0f} s; see {_log(root)}"
            )
        time.sleep(0.2)


def _log(root: Path) -> Path:
    return root / ".prefect" / "server.log"


def stop(root: Path) -> bool:
    """End this checkout's server and its children; return whether there was one."""
    server = running(root)
    if server is None:
        return False
    pid = server.pid
    os.killpg(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while command_of(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    if command_of(pid):
        os.killpg(pid, signal.SIGKILL)
    _record(root).unlink(missing_ok=True)
    return True
