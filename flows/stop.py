"""End what this checkout left running in the background: `python -m flows.stop` (`make stop`).

Its Prefect server, and the processes of its private Ray should any have outlived a killed stage.
Other checkouts' processes are never touched: the server is known by its recorded pid, Ray by the
folder in its command lines or the one it works in.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from flows import _server
from polylm_core.compute.private_ray import private_ray_folder
from polylm_core.compute.process import command_of

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
    """End the server and Ray of the current checkout, and say what was ended."""
    if _server.stop(Path()):
        print("ended the Prefect server")
    pids = sorted({*processes_naming(private_ray_folder()), *ray_processes_in(Path.cwd())})
    end_processes(pids)
    if pids:
        print(f"ended {len(pids)} processes of Ray")


if __name__ == "__main__":
    main()
