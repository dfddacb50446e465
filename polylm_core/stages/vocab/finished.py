"""Marks of finished work, so that a killed run does not do it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from polylm_core.storage import sha256_file, write_atomic


def _marker(file: Path) -> Path:
    return file.with_name(f"{file.name}.done.json")


def mark_finished(file: Path, result: Any) -> None:
    """Say that a file is whole, and what is known of it."""
    content = {"sha256": sha256_file(file), "result": result}
    write_atomic(_marker(file), json.dumps(content, sort_keys=True).encode())


def find_finished(file: Path) -> Any | None:
    """What `mark_finished` was told of a file that is as it was then, or none."""
    try:
        content = json.loads(_marker(file).read_bytes())
        return content["result"] if content["sha256"] == sha256_file(file) else None
    except (OSError, ValueError, KeyError):
        return None
