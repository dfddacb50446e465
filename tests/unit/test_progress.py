"""Bars for people, which must never stop the work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, threading
from polylm_core import progress
progress.QUIET_SECONDS = 0.0
sys.stdin.readline()  # until nobody reads standard error any more
watcher = progress.TerminalProgress()
def work():
    with watcher.track("unit", 5) as tracker:
        for _ in range(5):
            tracker.advance(1, "a note")
    watcher.say("a line")
thread = threading.Thread(target=work)
thread.start(); thread.join()
work()
print("done")
"""


def test_work_goes_on_when_nobody_reads_the_bars_any_more() -> None:
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=write,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:
        os.close(write)
        os.close(read)
        output, _ = process.communicate("go\n", timeout=60)
    assert output == "done\n"
