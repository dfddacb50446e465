"""What a rank and its libraries print, kept in the run's folder: a cluster takes its logs away.

Python's own prints, warnings and tracebacks come into it without secrets. What C libraries and
other programs print is there as it was; it loses them on its way into a store (`payloads.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from polylm_core.redaction import redacting


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Append all that this process prints in the block, C libraries included, to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = (sys.stdout, sys.stderr)
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)  # what was printed outlives a kill
        stream.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with path.open("ab", buffering=0) as file:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(f"--- process {os.getpid()}, {now}\n".encode())
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (redacting(stream) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        for stream in streams:
            stream.flush()
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)
