"""Peak memory of a process and its descendants, shared pages counted once."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

INTERVAL_SECONDS = 0.2


@dataclass(frozen=True)
class Usage:
    """What a command took."""

    seconds: float
    peak_bytes: int
    measure: str
    """`pss` where the kernel shares pages out by their users, `rss` where it does not tell."""
    returncode: int


def tree_bytes(process: psutil.Process) -> tuple[int, str]:
    """Return the memory of a process and its descendants, and how it was measured."""
    total, measure = 0, "pss"
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0, measure
    for member in family:
        try:
            size, how = _process_bytes(member.pid)
        except (OSError, psutil.Error):
            continue  # it ended between two looks
        total += size
        measure = "rss" if how == "rss" else measure
    return total, measure


def _process_bytes(pid: int) -> tuple[int, str]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), "pss"
    except (PermissionError, StopIteration):
        return int(psutil.Process(pid).memory_info().rss), "rss"


def watch(command: Sequence[str], **options: object) -> Usage:
    """Run a command to its end, looking at its memory every fifth of a second."""
    begin = time.perf_counter()
    with subprocess.Popen(command, **options) as process:  # type: ignore[call-overload]
        peak, measure = 0, "pss"
        root = psutil.Process(process.pid)
        ended = threading.Event()
        while not ended.wait(INTERVAL_SECONDS):
            size, measure = tree_bytes(root)
            peak = max(peak, size)
            if process.poll() is not None:
                ended.set()
    return Usage(time.perf_counter() - begin, peak, measure, process.returncode)
