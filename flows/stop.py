"""End what this checkout left running in the background: `python -m flows.stop` (`make stop`).

A run that is under way, the Prefect server, and the processes of its private Ray should any have
outlived a killed stage. Other checkouts' processes are never touched: the server is known by its
recorded pid, a run by the folder it works in, Ray by that or the folder in its command lines.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from flows import _server
from flows._provenance import is_runner
from polylm_core.compute.private_ray import private_ray_folder
from polylm_core.compute.process import arguments_of, command_of
from polylm_core.pipeline import STAGES

END_SECONDS = 10.0
POLL_SECONDS = 0.1


def processes_naming(folder: Path) -> list[int]:
    """Return the pids whose command line names `folder` or something in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            words = command_of(int(entry.name)).replace("=", " ").replace(",", " ").split()
            if any(Path(word) == folder or folder in Path(word).parents for word in words):
                found.append(int(entry.name))
    return sorted(found)


def ray_processes_in(checkout: Path) -> list[int]:
    """Return the pids of Ray's processes that work in `checkout`.

    Ray's agents overwrite their command lines with a title that names no folder.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and command_of(int(entry.name)).startswith("ray::"):
            with suppress(OSError):  # it ended meanwhile, or is another user's
                if (entry / "cwd").readlink() == checkout:
                    found.append(int(entry.name))
    return sorted(found)


def run_in(checkout: Path) -> tuple[list[int], list[int]]:
    """Return the pids of the stages that work in `checkout`, and of the `dvc repro`s."""
    stages, runners = [], []
    flows = {f"flows.{name}" for name in STAGES}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # it ended meanwhile, or is another user's
            if entry.name.isdigit() and (entry / "cwd").readlink() == checkout:
                words = arguments_of(int(entry.name))
                if words[1:2] == ["-m"] and flows.intersection(words[2:3]):
                    stages.append(int(entry.name))
                elif is_runner(words):
                    runners.append(int(entry.name))
    return sorted(stages), sorted(runners)


def end_run(checkout: Path) -> bool:
    """End the run of `checkout`; say whether there was one.

    The stage goes first: DVC then gives its locks back and ends by itself.
    """
    stages, runners = run_in(checkout)
    end_processes(stages)
    deadline = time.monotonic() + END_SECONDS
    while stages and any(map(command_of, runners)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    end_processes([pid for pid in runners if command_of(pid)])
    return bool(stages or runners)


def end_processes(pids: list[int]) -> None:
    """Ask processes to end, and kill those that have not after `END_SECONDS`."""
    _signal(pids, signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    left = pids
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = [pid for pid in left if command_of(pid)]
    _signal(left, signal.SIGKILL)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def main() -> None:
    """End the run, the server and Ray of the current checkout, and say what was ended."""
    if end_run(Path.cwd()):
        print("ended the run; the next one goes on where it was")
    if _server.stop(Path()):
        print("ended the Prefect server")
    pids = sorted({*processes_naming(private_ray_folder()), *ray_processes_in(Path.cwd())})
    end_processes(pids)
    if pids:
        print(f"ended {len(pids)} processes of Ray")


if __name__ == "__main__":
    main()
