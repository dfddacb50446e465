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
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flows import _server
from flows._provenance import TAG_VARIABLE
from flows._stage import TEARDOWN_SECONDS, leave
from polylm_core.compute.process import die_with_parent
from polylm_core.errors import PolyLMError, StageError
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


def main(arguments: list[str]) -> int:
    """Run the flow from the command line; return the exit status, which is that of the work."""
    target = arguments[0] if arguments else None
    _server.configure(Path())
    ENDING.when_ended = _bound_teardown
    try:
        _server.ensure(Path())
        importlib.import_module("flows._parent").pipeline(target=target)
    except PolyLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"warning: Prefect is not usable ({error})", file=sys.stderr)
        return ENDING.code if ENDING.begun else _unwatched(target)
    return ENDING.code


def _unwatched(target: str | None) -> int:
    """Do the work though Prefect failed before it began."""
    try:
        reproduce(target, f"repro-{os.getpid()}", tell=lambda line: None)
    except PolyLMError as error:
        print(f"error: {error}", file=sys.stderr)
    return ENDING.code


def _bound_teardown() -> None:
    """Give Prefect a bounded time to close its books, then end with the status of the work."""

    def end() -> None:
        time.sleep(TEARDOWN_SECONDS)
        print("warning: Prefect did not close in time; left as it is", file=sys.stderr)
        leave(ENDING.code)

    threading.Thread(target=end, name="bounded-teardown", daemon=True).start()


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
