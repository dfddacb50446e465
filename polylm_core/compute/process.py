"""A process that ends with its parent, however the parent ends."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.5


def die_with_parent(*, signal_number: int = signal.SIGKILL) -> None:
    """Ask Linux to send this process a signal when its parent dies (prctl(2)).

    The kernel forgets the request in children, so every process asks for itself. A parent that
    died just before the call is noticed as well.
    """
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal_number) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal_number)


def die_with_process(pid: int) -> None:
    """Kill this process once process `pid`, an ancestor behind a shell, has ended.

    A shell between a runner and its command outlives the runner, so the parent's death signal
    alone would come too late.
    """
    started = start_time(pid)
    if started is None:
        os.kill(os.getpid(), signal.SIGKILL)

    def watch() -> None:
        while start_time(pid) == started:
            time.sleep(POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="die-with-process", daemon=True).start()


def start_time(pid: int) -> str | None:
    """Return the clock ticks after boot at which a living process started; none once it ended.

    It tells a reused pid from the process that had it before.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def parent_of(pid: int) -> int:
    """Return the parent of a process (0 when it has ended)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def arguments_of(pid: int) -> list[str]:
    """Return the words of a process's command line (none when it has ended)."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def command_of(pid: int) -> str:
    """Return a process's command line, words joined by spaces (empty when it has ended)."""
    return " ".join(arguments_of(pid)).strip()
