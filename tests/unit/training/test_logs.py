"""What a rank prints is kept, whoever prints it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from polylm_core.training.logs import logged


def test_prints_of_python_and_below_are_kept_and_the_streams_come_back(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from polylm_core.training.logs import logged\n"
        "print('before')\n"
        "for turn in range(2):\n"
        "    with logged(Path('logs/rank-0.log')):\n"
        "        print('from Python', turn)\n"
        "        os.write(2, b'from below\\n')\n"
        "print('after')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines() == ["before", "after"]
    assert ended.stderr == ""
    lines = (tmp_path / "logs/rank-0.log").read_text().splitlines()
    assert [line for line in lines if not line.startswith("---")] == [
        "from Python 0",
        "from below",
        "from Python 1",
        "from below",
    ]


def test_what_python_prints_has_no_secret(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from polylm_core.training.logs import logged\n"
        "with logged(Path('rank-0.log')):\n"
        "    print(f\"with {os.environ['BUREAU_TOKEN']}\", flush=True)\n"
        "    print(f\"and {os.environ['BUREAU_TOKEN']}\", file=sys.stderr)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "BUREAU_TOKEN": "s3cr3t-of-the-bureau",
    }
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=False)
    lines = (tmp_path / "rank-0.log").read_text().splitlines()
    assert lines[1:] == ["with [hidden]", "and [hidden]"]


def test_the_streams_come_back_after_an_error(tmp_path: Path) -> None:
    before, streams = [os.fstat(number).st_ino for number in (1, 2)], (sys.stdout, sys.stderr)
    try:
        with logged(tmp_path / "rank-0.log"):
            raise RuntimeError
    except RuntimeError:
        pass
    assert [os.fstat(number).st_ino for number in (1, 2)] == before
    assert (sys.stdout, sys.stderr) == streams
