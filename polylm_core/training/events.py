"""What befell a run, with the time: starts, checkpoints, faults. Metrics have no clock; this has.

`events.jsonl` in the run's folder is only ever added to, so that steps done twice are on record.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polylm_core.redaction import redacted_tree


class Events:
    """A run's record, written by its first rank."""

    def __init__(self, path: Path, *, writes: bool) -> None:
        self._path = path
        self._writes = writes

    def add(self, kind: str, step: int, **details: Any) -> None:
        """Note what happened after `step` steps of the data order."""
        if self._writes:
            at = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
            row = {"time": at, "event": kind, "step": step, **redacted_tree(details)}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return the record; none where nothing was noted yet."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]
