"""infra/ray's scripts: shellcheck has nothing to say, and the Slurm job starts what it says."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.architecture.closure import ROOT
from tests.programs import program

SCRIPTS = (ROOT / "infra/ray/slurm.sbatch", ROOT / "infra/ray/spot-notice.sh")
SRUN = """\
#!/bin/bash
echo "$@" > "$TOLD"
stat --format=%a "$RAY_AUTH_TOKEN_PATH" > "$TOLD.mode"
wc --bytes < "$RAY_AUTH_TOKEN_PATH" >> "$TOLD.mode"
while [ "$1" != -- ]; do shift; done; shift
exec "$@"
"""


def lint(text: str) -> str:
    done = subprocess.run(
        [program("shellcheck"), "-"], input=text, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    assert lint(script.read_text(encoding="utf-8")) == ""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('cd "$SLURM_SUBMIT_DIR"', "cd $SLURM_SUBMIT_DIR", "SC2086"),
        ('exit "$status"', 'exit "$staus"', "SC2154"),
        ("(umask 077", "((umask 077", "SC10"),
    ],
)
def test_shellcheck_finds_a_planted_mistake(old: str, new: str, told: str) -> None:
    text = SCRIPTS[0].read_text(encoding="utf-8")
    assert old in text
    assert told in lint(text.replace(old, new))


def job(folder: Path, *stages: str, dvc: str = "exit 0", **variables: str) -> subprocess.Popen[str]:
    """Start the job as Slurm starts it on the first machine, with stand-ins for the programs."""
    programs = {"srun": SRUN, "dvc": f"#!/bin/bash\necho dvc $@ $RAY_ADDRESS\n{dvc}\n"}
    programs["scontrol"] = '#!/bin/sh\necho "scontrol $*"\n'
    (folder / ".venv/bin").mkdir(parents=True)
    activate = f'export PATH="{folder}/.venv/bin:$PATH"\n'
    (folder / ".venv/bin/activate").write_text(activate, encoding="utf-8")
    for name, text in programs.items():
        (folder / ".venv/bin" / name).write_text(text, encoding="utf-8")
        (folder / ".venv/bin" / name).chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "SLURM_SUBMIT_DIR": str(folder),
        "SLURM_JOB_ID": "471234",
        "SLURM_JOB_NUM_NODES": "4",
        "SLURM_CPUS_ON_NODE": "16",
        "POLYLM_HEAD_ADDRESS": "10.0.0.5",
        "POLYLM_PROFILE": "cpu-cluster",
        "TOLD": str(folder / "told"),
        **variables,
    }
    return subprocess.Popen(
        ["bash", str(SCRIPTS[0]), *stages],
        env={name: value for name, value in environment.items() if value},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_ray_is_started_on_every_machine_and_dvc_on_the_first(tmp_path: Path) -> None:
    started = job(tmp_path, "pretrain")
    told = started.communicate(timeout=60)[0]
    assert started.returncode == 0, told
    assert (tmp_path / "told").read_text(encoding="utf-8").split(" -- ")[0] == (
        "--ntasks=4 --kill-on-bad-exit=1 ray symmetric-run --address 10.0.0.5:21234 --min-nodes 4 "
        "--num-cpus 16 --dashboard-host 127.0.0.1 --disable-usage-stats"
    )
    assert told.splitlines() == ["dvc repro pretrain 10.0.0.5:21234"]


def test_the_token_is_the_owners_and_goes_with_the_job(tmp_path: Path) -> None:
    job(tmp_path).communicate(timeout=60)
    mode, size = (tmp_path / "told.mode").read_text(encoding="utf-8").split()
    assert int(mode, 8) == stat.S_IRUSR | stat.S_IWUSR
    assert int(size) == 65
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_that_fails_fails_the_job(tmp_path: Path) -> None:
    failing = job(tmp_path, dvc="exit 3")
    failing.communicate(timeout=60)
    assert failing.returncode == 3


def test_a_job_without_a_profile_says_how_to_name_one(tmp_path: Path) -> None:
    nameless = job(tmp_path, POLYLM_PROFILE="")
    told = nameless.communicate(timeout=60)[0]
    assert nameless.returncode != 0
    assert "name a profile of infra/profiles: sbatch --export=ALL,POLYLM_PROFILE=NAME" in told


def test_a_job_whose_time_is_over_goes_back_into_the_queue(tmp_path: Path) -> None:
    signal_itself = "kill -USR1 $(ps -o ppid= -p $$ | tr -d ' '); sleep 1"
    late = job(tmp_path, dvc=signal_itself)
    told = late.communicate(timeout=60)[0]
    assert "scontrol requeue 471234" in told
