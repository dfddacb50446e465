"""`dvc repro` as one piece of work: run to its end, or ended with everything it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from flows._provenance import TAG_VARIABLE
from polylm_core.compute.process import die_with_parent
from polylm_core.errors import StageError
from polylm_core.pipeline import STAGES

END_SECONDS = 20.0
"""How long the stages may take to end after they were asked to."""


@dataclass
class Ending:
    """How `dvc repro` ended, kept apart from how Prefect ended."""

    begun: bool = False
    error: BaseException | None = None
    when_ended: Callable[[], None] = lambda: None

    @property
    def code(self) -> int:
        """Exit status of the work."""
        return 0 if self.begun and self.error is None else 1


ENDING = Ending()
"""A process reproduces one pipeline."""


def reproduce(target: str | None, tag: str, *, tell: Callable[[str], None]) -> None:
    """Run `dvc repro` to its end; whatever ends this call ends all of its processes.

    Raises StageError when a stage fails.
    """
    ENDING.begun = True
    try:
        if target is not None and target not in STAGES:
            raise StageError(f"no stage {target!r}; the stages are {', '.join(STAGES)}")
        _run_dvc(target, tag, tell)
    except BaseException as error:
        ENDING.error = error
        raise
    finally:
        ENDING.when_ended()


def _run_dvc(target: str | None, tag: str, tell: Callable[[str], None]) -> None:
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
