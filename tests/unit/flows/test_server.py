"""The one server of a checkout is known wherever it listens."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import _server
from polylm_core.errors import MachineError


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Something whose command line reads like a Prefect server's."""
    program = "import time; print('ready', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", program, "prefect"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # its command line can be read from now on
        yield process
        process.kill()


def record(root: Path, pid: int, port: int) -> None:
    (root / ".prefect").mkdir()
    (root / ".prefect/polylm-server.json").write_text(json.dumps({"pid": pid, "port": port}))


def test_a_server_on_another_port_is_found_and_stopped(
    tmp_path: Path, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, process.pid, 4300)
    monkeypatch.setenv("PREFECT_SERVER_API_PORT", "not a port")
    server = _server.running(tmp_path)
    assert server is not None
    assert server.url == "http://127.0.0.1:4300/api"
    assert _server.stop(tmp_path)
    assert process.wait(timeout=10) != 0
    assert not _server.stop(tmp_path)


def test_a_server_that_ended_is_none(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    record(tmp_path, process.pid, 4300)
    process.kill()
    process.wait()
    assert _server.running(tmp_path) is None


def test_a_port_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_PORT", "abc")
    with pytest.raises(MachineError, match="'abc', not a number"):
        _server.port()


def test_a_taken_port_is_passed_over_unless_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        monkeypatch.setattr(_server, "DEFAULT_PORT", number)
        monkeypatch.delenv("PREFECT_SERVER_API_PORT", raising=False)
        assert number < _server.port() < number + _server.NUM_DEFAULT_PORTS
        assert not _server.port_taken()
        monkeypatch.setenv("PREFECT_SERVER_API_PORT", str(number))
        assert _server.port() == number
        assert _server.port_taken()
