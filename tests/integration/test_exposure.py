"""From another network namespace, without a token, Prefect and Ray give nothing away."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polylm_core.compute.process import command_of
from tests.clone import ROOT, free_port

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
HERE, THERE = "10.213.77.1", "10.213.77.2"
"""Ends of the cable between this namespace and the other."""
NAMESPACE = f"polylm-{os.getpid()}"
REFUSED = ("AuthenticationError", "InvalidAuthToken", "Unauthenticated")
"""How Ray says that it wants a token; not to find it, or to lack a package, is no refusal."""
SERVICES = """
import sys, time
from pathlib import Path
from flows import _server
from polylm_core.compute.on_ray import RayBackend

def wait(_):
    time.sleep(600)

if __name__ == "__main__":
    _server.configure(Path())
    print(_server.ensure(Path()), flush=True)
    backend = RayBackend(address=None, training_workers=1, threads_per_worker=1, use_gpu=False,
                         private_cpus=2)
    with backend._cluster():
        import ray
        print(ray.get_runtime_context().gcs_address, flush=True)
        time.sleep(600)
"""
PROBE = """
import json, os, socket, sys, urllib.error, urllib.request
import ray
host, ports, gcs = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
found = {}
for port in ports:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/", timeout=3) as answer:
            found[port] = f"HTTP {answer.status}"
    except urllib.error.HTTPError as error:
        found[port] = f"HTTP {error.code}"
    except Exception as error:
        found[port] = type(error).__name__
try:
    ray.init(address=gcs, log_to_driver=False)
    found["ray"] = "joined"
except BaseException as error:
    said = []
    while error is not None:
        said.append(f"{type(error).__name__}: {error}")
        error = error.__cause__
    found["ray"] = "; because ".join(said)[:2000]
print(json.dumps(found))
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def outside() -> Iterator[tuple[list[str], str]]:
    """How a command is run in another namespace, and this machine's address seen from there.

    Where none can be made, it is run here, against the machine's own outer address.
    """
    try:
        ip("netns", "add", NAMESPACE)
    except (OSError, subprocess.CalledProcessError):
        yield [], outer_address()
        return
    cable = f"plm{os.getpid() % 100_000}"
    try:
        ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE)
        ip("addr", "add", f"{HERE}/24", "dev", cable)
        ip("link", "set", cable, "up")
        ip("-n", NAMESPACE, "addr", "add", f"{THERE}/24", "dev", "eth0")
        ip("-n", NAMESPACE, "link", "set", "eth0", "up")
        ip("-n", NAMESPACE, "link", "set", "lo", "up")
        yield ["ip", "netns", "exec", NAMESPACE], HERE
    except subprocess.CalledProcessError:
        yield [], outer_address()
    finally:
        subprocess.run(["ip", "link", "delete", cable], check=False, capture_output=True)
        ip("netns", "delete", NAMESPACE)


def outer_address() -> str:
    """This machine's address towards others; skips where it has only loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing (RFC 5737)
        except OSError:
            pytest.skip(
                "neither a network namespace nor an address besides loopback on this machine"
            )
        return str(probe.getsockname()[0])


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """A Prefect server and a private Ray, as a stage starts them: their addresses, the folder."""
    folder = tmp_path_factory.mktemp("open").resolve()
    (folder / "services.py").write_text(SERVICES)
    outside = ("PREFECT_", "RAY_")
    environment = {name: text for name, text in os.environ.items() if not name.startswith(outside)}
    environment |= {
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "PREFECT_SERVER_API_PORT": str(free_port()),
    }
    process = subprocess.Popen(
        [sys.executable, "services.py"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        prefect, gcs = (process.stdout.readline().strip() for _ in range(2))
        assert gcs
        yield prefect, gcs, folder
    finally:
        process.kill()
        process.wait()
        stop = [sys.executable, "-m", "flows.stop"]
        subprocess.run(stop, cwd=folder, env=environment, check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def listening() -> dict[int, set[int]]:
    """Ports that something of this machine listens on beyond loopback, with the inodes."""
    found: dict[int, set[int]] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].rpartition(":")
            loopback = address in ("0100007F", "00000000000000000000000001000000")
            if fields[3] == "0A" and not loopback:
                found.setdefault(int(port, 16), set()).add(int(fields[9]))
    return found


def ports_of(folder: Path) -> list[int]:
    """Ports beyond loopback of the processes that were started in a folder, or for it."""
    inodes = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            here = (entry / "cwd").readlink() == folder or str(folder) in command_of(
                int(entry.name)
            )
            variables = (entry / "environ").read_bytes()
            if here or f"HOME={folder}".encode() in variables:
                links = [os.readlink(link) for link in (entry / "fd").iterdir()]
                inodes |= {int(link[8:-1]) for link in links if link.startswith("socket:[")}
        except OSError:
            continue
    return sorted(port for port, own in listening().items() if own & inodes)


def probed(
    command: list[str], host: str, ports: list[int], gcs: str, folder: Path, **variables: str
) -> dict[str, str]:
    """What each port says to somebody, and Ray to who would join it."""
    probe = folder / "probe.py"
    probe.write_text(textwrap.dedent(PROBE))
    environment = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [*command, sys.executable, str(probe), host, json.dumps(ports), gcs],
        env={**environment, "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def answers(
    outside: tuple[list[str], str], services: tuple[str, str, Path], tmp_path_factory: Any
) -> dict[str, str]:
    """What each open port says to somebody without a token."""
    command, host = outside
    prefect, gcs, folder = services
    ports = [int(prefect.split(":")[2].split("/")[0]), *ports_of(folder)]
    there = f"{host}:{gcs.split(':')[1]}"
    stranger = tmp_path_factory.mktemp("probe")
    return probed(command, host, ports, there, stranger, RAY_AUTH_MODE="disabled")


def test_prefect_is_not_there(answers: dict[str, str], services: tuple[str, str, Path]) -> None:
    port = services[0].split(":")[2].split("/")[0]
    assert answers[port] == "URLError"


def test_ray_lets_nobody_in(answers: dict[str, str]) -> None:
    assert any(word in answers["ray"] for word in REFUSED), answers["ray"]


def test_with_the_token_it_joins(
    services: tuple[str, str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same probe, so that nothing else keeps it out; Ray takes drivers of its machines only."""
    _, gcs, folder = services
    own = str(folder / ".ray/auth_token")
    friend = tmp_path_factory.mktemp("friend")
    found = probed([], "127.0.0.1", [], gcs, friend, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=own)
    assert found["ray"] == "joined"


def test_no_port_answers_a_question(
    answers: dict[str, str], services: tuple[str, str, Path]
) -> None:
    assert services[1].split(":")[1] in answers, "the ports of Ray are not among those asked"
    assert [port for port, said in answers.items() if said == "HTTP 200"] == []
