"""infra/ray/slurm.sbatch with Ray itself, on one machine.

`ray symmetric-run` ends all of Ray on its machine, so that is a process namespace, which sees no
other Ray.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clone import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ALONE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
UNPRIVILEGED = [*ALONE, "--user", "--map-root-user"]
SRUN = '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
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


def job(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the job as Slurm runs it on its only machine."""
    (folder / ".venv/bin").mkdir(parents=True)
    activate = f'export PATH="{folder}/.venv/bin:{Path(sys.executable).parent}:$PATH"\n'
    (folder / ".venv/bin/activate").write_text(activate, encoding="utf-8")
    for name, text in (("srun", SRUN), ("dvc", RUN)):
        (folder / ".venv/bin" / name).write_text(text, encoding="utf-8")
        (folder / ".venv/bin" / name).chmod(0o755)
    started = subprocess.Popen(
        words,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "SLURM_SUBMIT_DIR": str(folder),
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_JOB_NUM_NODES": "1",
            "SLURM_CPUS_ON_NODE": "2",
            "POLYLM_HEAD_ADDRESS": "127.0.0.1",
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


def test_a_run_that_fails_fails_the_job(tmp_path: Path, alone: list[str]) -> None:
    assert job(tmp_path, *alone, *script("planted")).returncode == 3
