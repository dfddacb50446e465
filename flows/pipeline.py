"""The whole pipeline as one deployable Prefect flow: `python -m flows.pipeline [STAGE]`.

It runs `dvc repro` in a process group of its own and ends that group when the flow is cancelled or
fails, because DVC itself leaves its stage running when it is terminated. The graph is DVC's alone.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from flows import _server
from flows._provenance import TAG_VARIABLE
from polylm_core.compute.process import die_with_parent
from polylm_core.errors import PolyLMError, StageError
from polylm_core.pipeline import STAGES

END_SECONDS = 20.0
"""How long the stages may take to end after they were asked to."""


def reproduce(target: str | None, tag: str, *, tell: Callable[[str], None]) -> None:
    """Run `dvc repro` to its end; whatever ends this call ends all of its processes.

    Raises StageError when a stage fails.
    """
    if target is not None and target not in STAGES:
        raise StageError(f"no stage {target!r}; the stages are {', '.join(STAGES)}")
    command = [sys.executable, "-m", "dvc", "repro", *([target] if target else [])]
    process = subprocess.Popen(
        command,
        env={**os.environ, TAG_VARIABLE: tag},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            tell(line.rstrip())
        if process.wait() != 0:
            raise StageError(
                f"`dvc repro` ended with status {process.returncode}; the stage's own message is "
                "above, finished stages are kept: mend it and run again"
            )
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[str]) -> None:
    """End what is left of the process group: DVC ends at SIGTERM, and its stage dies with it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def main(arguments: list[str]) -> int:
    """Run the flow from the command line; return the exit status."""
    target = arguments[0] if arguments else None
    _server.configure(Path())
    try:
        _server.ensure(Path())
        importlib.import_module("flows._parent").pipeline(target=target)
    except PolyLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
