"""A rank that hangs in its third step, or waits there for one that does.

    python -m tests.hanging RANK HOW STORE FOLDER SECONDS

Two ranks meet through gloo. The one with another HOW than `wait` never comes to the third meeting.
"""

from __future__ import annotations

import ctypes
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch

from polylm_core.compute.process import die_with_parent
from polylm_core.training.watchdog import Watchdog

GRACE_SECONDS = 1.0
HANG_SECONDS = 300


def wait_for_others() -> None:
    torch.distributed.all_reduce(torch.zeros(1))


def sleep_in_python() -> None:
    time.sleep(HANG_SECONDS)


def sleep_in_c() -> None:
    ctypes.PyDLL(None).sleep(HANG_SECONDS)  # holds the interpreter's lock


HOWS = {"wait": wait_for_others, "python": sleep_in_python, "c": sleep_in_c}


def main() -> None:
    rank, how, store, folder, seconds = sys.argv[1:]
    die_with_parent()
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=int(rank),
        world_size=2,
        timeout=timedelta(seconds=HANG_SECONDS),
    )
    bound = {"step_seconds": float(seconds), "first_seconds": float(seconds)}
    with Watchdog(Path(folder), int(rank), **bound, grace_seconds=GRACE_SECONDS) as watchdog:
        for step in (1, 2):
            with watchdog.step(step):
                wait_for_others()
        print(time.time(), flush=True)
        with watchdog.step(3):
            HOWS[how]()


if __name__ == "__main__":
    main()
