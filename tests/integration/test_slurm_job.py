"""infra/ray/slurm.sbatch with Ray itself, on one machine.

`ray symmetric-run` ends all of Ray on its machine, so the job has one of its own: a process
namespace, in which it sees no other Ray.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clone import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ALONE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
SRUN = '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
DVC = f"""#!{sys.executable}
import os, subprocess, sys
import ray
if sys.argv[1:] == ["repro", "planted"]:
    sys.exit(3)
ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False)
print("processors", int(ray.cluster_resources()["CPU"]), flush=True)
print("answer", ray.get(ray.remote(num_cpus=1)(lambda: 6 * 7).remote()), flush=True)
ray.shutdown()
join = "import os, ray; ray.init(address=os.environ['RAY_ADDRESS']); print('joined')"
for token in ("wrong" * 8, ""):
    asked = dict(os.environ, RAY_AUTH_TOKEN=token) if token else dict(
        os.environ, RAY_AUTH_TOKEN_PATH="", RAY_AUTH_MODE="disabled"
    )
    done = subprocess.run([sys.executable, "-c", join], env=asked, capture_output=True, text=True)
    print("stranger", done.returncode != 0 and "joined" not in done.stdout, flush=True)
"""


def job(folder: Path, *stages: str) -> subprocess.CompletedProcess[str]:
    """Run the job as Slurm runs it where it has one machine."""
    (folder / ".venv/bin").mkdir(parents=True)
    activate = f'export PATH="{folder}/.venv/bin:{Path(sys.executable).parent}:$PATH"\n'
    (folder / ".venv/bin/activate").write_text(activate, encoding="utf-8")
    for name, text in (("srun", SRUN), ("dvc", DVC)):
        (folder / ".venv/bin" / name).write_text(text, encoding="utf-8")
        (folder / ".venv/bin" / name).chmod(0o755)
    return subprocess.run(
        [*ALONE, "bash", str(ROOT / "infra/ray/slurm.sbatch"), *stages],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "SLURM_SUBMIT_DIR": str(folder),
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_JOB_NUM_NODES": "1",
            "SLURM_CPUS_ON_NODE": "2",
            "POLYLM_HEAD_ADDRESS": "127.0.0.1",
            "POLYLM_PROFILE": "cpu-cluster",
            "RAY_TMPDIR": "/tmp",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(autouse=True)
def has_namespaces() -> None:
    if shutil.which("unshare") is None or subprocess.run([*ALONE, "true"], check=False).returncode:
        pytest.skip("no process namespace of its own (unshare): the job would end other Rays")


def test_ray_comes_with_the_job_asks_for_its_token_and_goes_with_it(tmp_path: Path) -> None:
    done = job(tmp_path, "pretrain")
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.splitlines()
    assert {"processors 2", "answer 42"} <= set(told)
    assert [line for line in told if line.startswith("stranger")] == ["stranger True"] * 2
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_that_fails_fails_the_job(tmp_path: Path) -> None:
    assert job(tmp_path, "planted").returncode == 3
