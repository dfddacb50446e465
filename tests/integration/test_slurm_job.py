"""infra/ray/slurm.sbatch with Ray itself, on one machine and on two.

`ray symmetric-run` ends all of Ray on its machine, so a machine is a process namespace, which sees
no other Ray; two of them are network namespaces with a wire between.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clone import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ALONE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
UNPRIVILEGED = [*ALONE, "--user", "--map-root-user"]
ONE = '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
TWO = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
ip netns exec {0} {alone} "$@" & first=$!
ip netns exec {1} {alone} "$@" > /dev/null 2>&1 &
wait $first; status=$?
wait
exit $status
"""
RUN = f"""#!{sys.executable}
import os, subprocess, sys
import ray
if sys.argv[1:] == ["repro", "planted"]:
    sys.exit(3)
ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False)
print("processors", int(ray.cluster_resources()["CPU"]), flush=True)
where = ray.remote(num_cpus=2)(lambda: ray.get_runtime_context().get_node_id())
print("machines", len(set(ray.get([where.remote() for _ in ray.nodes()]))), flush=True)
ray.shutdown()
join = "import os, ray; ray.init(address=os.environ['RAY_ADDRESS']); print('joined')"
for stranger in ({{"RAY_AUTH_TOKEN": "wrong" * 8}}, {{"RAY_AUTH_MODE": "disabled"}}):
    done = subprocess.run(
        [sys.executable, "-c", join], env=os.environ | stranger, capture_output=True, text=True
    )
    print("stranger", done.returncode != 0 and "joined" not in done.stdout, flush=True)
"""


def job(
    folder: Path, *words: str, srun: str = ONE, machines: int = 1, address: str = "127.0.0.1"
) -> subprocess.CompletedProcess[str]:
    """Run the job as Slurm runs it on the first machine."""
    (folder / ".venv/bin").mkdir(parents=True)
    activate = f'export PATH="{folder}/.venv/bin:{Path(sys.executable).parent}:$PATH"\n'
    (folder / ".venv/bin/activate").write_text(activate, encoding="utf-8")
    for name, text in (("srun", srun), ("dvc", RUN)):
        (folder / ".venv/bin" / name).write_text(text, encoding="utf-8")
        (folder / ".venv/bin" / name).chmod(0o755)
    started = subprocess.Popen(
        words,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "SLURM_SUBMIT_DIR": str(folder),
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_JOB_NUM_NODES": str(machines),
            "SLURM_CPUS_ON_NODE": "2",
            "POLYLM_HEAD_ADDRESS": address,
            "POLYLM_PROFILE": "cpu-cluster",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = started.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)  # and with it what runs in its namespaces
    return subprocess.CompletedProcess(words, started.returncode, output, errors)


def works(command: list[str]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def script(*stages: str) -> list[str]:
    return ["bash", str(ROOT / "infra/ray/slurm.sbatch"), *stages]


@pytest.fixture
def alone() -> list[str]:
    """How a machine of its own is started."""
    for command in (ALONE, UNPRIVILEGED):
        if works([*command, "true"]):
            return command
    pytest.skip("no process namespace of its own (unshare): the job would end other Rays")


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """Two machines' networks, 10.77.0.1 and 10.77.0.2, with a wire between."""
    names = (f"polylm-{os.getpid()}-a", f"polylm-{os.getpid()}-b")
    if not works(["ip", "netns", "add", names[0]]):
        pytest.skip("no network namespaces (ip netns, as root) to be two machines")
    try:
        first = ["ip", "-n", names[0]]
        commands = [["ip", "netns", "add", names[1]]]
        commands += [[*first, *"link add wire type veth peer name wire netns".split(), names[1]]]
        for number, name in enumerate(names, start=1):
            inside = ["ip", "-n", name]
            commands += [[*inside, "addr", "add", f"10.77.0.{number}/24", "dev", "wire"]]
            commands += [[*inside, "link", "set", device, "up"] for device in ("wire", "lo")]
        for command in commands:
            subprocess.run(command, check=True, capture_output=True)
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def told(done: subprocess.CompletedProcess[str]) -> set[str]:
    assert done.returncode == 0, done.stdout + done.stderr
    words = ("processors", "machines", "stranger")
    return {line for line in done.stdout.splitlines() if line.startswith(words)}


def test_ray_comes_with_the_job_asks_for_its_token_and_goes_with_it(
    tmp_path: Path, alone: list[str]
) -> None:
    done = job(tmp_path, *alone, *script("pretrain"))
    assert told(done) == {"processors 2", "machines 1", "stranger True"}
    assert list((tmp_path / "runs").iterdir()) == []


def test_two_machines_are_one_ray(tmp_path: Path, machines: tuple[str, str]) -> None:
    srun = TWO.format(*machines, alone=" ".join(ALONE))
    done = job(tmp_path, *script("pretrain"), srun=srun, machines=2, address="10.77.0.1")
    assert told(done) == {"processors 4", "machines 2", "stranger True"}


def test_a_run_that_fails_fails_the_job(tmp_path: Path, alone: list[str]) -> None:
    assert job(tmp_path, *alone, *script("planted")).returncode == 3
