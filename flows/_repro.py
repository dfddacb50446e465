"""`dvc repro` as one piece of work: run to its end, or ended with everything it started."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from flows._conclusion import TEMPORARY
from flows._provenance import TAG_VARIABLE
from polylm_core.compute.process import die_with_parent
from polylm_core.errors import InfrastructureError, MachineError, PolyLMError, StageError
from polylm_core.pipeline import RUNS
from polylm_core.redaction import redacted
from polylm_core.settings import PROFILE_VARIABLE
from polylm_core.storage import exclusive_lock
from polylm_core.yaml_files import read_yaml

END_SECONDS = 12.0
"""How long the stages may take to end after they were asked to: Prefect gives all of it 30."""
POLL_SECONDS = 0.1
TOLD_LINES = 40
"""Last lines of DVC's output that are looked at for how a stage ended."""
STATUS = re.compile(r"exited with (-?\d+)")
HELD = re.compile(r"Unable to acquire lock|is busy, it is being blocked by")
"""What DVC says when another DVC is at work in the checkout."""


@dataclass
class Ending:
    """How `dvc repro` ended, kept apart from how Prefect ended."""

    begun: bool = False
    error: BaseException | None = None
    when_ended: Callable[[], object] = lambda: None

    @property
    def code(self) -> int:
        """Exit status of the work."""
        return 0 if self.begun and self.error is None else 1


ENDING = Ending()
"""A process reproduces one pipeline."""


def one_pipeline(*, wait_seconds: float) -> AbstractContextManager[None]:
    """Be the only pipeline of the checkout in the block; raises LockedError while another is."""
    what = f"the pipeline of {Path.cwd()}"
    return exclusive_lock(RUNS / "pipeline.lock", what=what, wait_seconds=wait_seconds)


def reproduce(
    target: str | None, tag: str, *, profile: str | None = None, tell: Callable[[str], None]
) -> None:
    """Run `dvc repro` to its end; whatever ends this call ends all of its processes.

    Raises InfrastructureError when a stage was killed or says that it may succeed later,
    StageError when a stage fails in any other way.
    """
    ENDING.begun, ENDING.error = True, None
    try:
        if target is not None:
            stages = read_yaml(Path("dvc.yaml"))["stages"]  # another revision's may have others
            if target not in stages:
                raise StageError(f"no stage {target!r}; the stages are {', '.join(stages)}")
        changes = {TAG_VARIABLE: tag} | ({} if profile is None else {PROFILE_VARIABLE: profile})
        _run_dvc(["repro", *([target] if target else [])], changes, tell)
    except BaseException as error:
        ENDING.error = error
        raise


def require_remote() -> None:
    """Raise MachineError where `dvc push` could send nothing: before the work, not hours after."""
    from dvc.exceptions import DvcException
    from dvc.fs import RemoteMissingDepsError
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            repo.cloud.get_remote(command="push")
    # No remote, or not what opens its kind of url.
    except (DvcException, ImportError, RemoteMissingDepsError) as error:
        raise MachineError(f"the results cannot be sent by `dvc push`: {error}") from error


def push_results(*, tell: Callable[[str], None]) -> None:
    """Send what was made to DVC's default remote; raises InfrastructureError when it cannot be."""
    try:
        _run_dvc(["push"], {}, tell)
    except StageError as error:
        raise InfrastructureError(f"the results are on this machine only: {error}") from error


def _run_dvc(arguments: list[str], changes: dict[str, str], tell: Callable[[str], None]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        env={**os.environ, **_same_python(), **changes},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    last: deque[str] = deque(maxlen=TOLD_LINES)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            line = redacted(line)
            print(line, end="", flush=True)
            tell(line.rstrip())
            last.append(line)
        if process.wait() != 0:
            raise failure(arguments[0], process.returncode, last)
    finally:
        _end_group(process)


def failure(command: str, status: int, last: Iterable[str]) -> PolyLMError:
    """The error for a `dvc` that ended with `status` after these lines."""
    text = "".join(last)
    message = (
        f"`dvc {command}` ended with status {status}; its own message is above, "
        "finished stages are kept: mend it and run again"
    )
    of_stage = STATUS.findall(text)
    ended = int(of_stage[-1]) if of_stage else 0
    # 128 + n is a shell's word for a process that signal n ended.
    killed = status < 0 or ended < 0 or ended in (128 + signal.SIGKILL, 128 + signal.SIGTERM)
    if killed or ended == TEMPORARY or HELD.search(text):
        return InfrastructureError(message)
    return StageError(message)


def _same_python() -> dict[str, str]:
    """What `python` in dvc.yaml is: this interpreter, with the code of this checkout."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(Path.cwd()),
    }


def _end_group(process: subprocess.Popen[str]) -> None:
    """End what is left of the process group, and wait until nothing is.

    Asked to end, DVC ends at once and its stage as soon as it has told Prefect.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + END_SECONDS
        while _is_alive(process) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def _is_alive(process: subprocess.Popen[str]) -> bool:
    """Whether any process of the group is left."""
    process.poll()  # an ended child counts as one until its status has been taken
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
