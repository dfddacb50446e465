"""Finished work found again: a marker with what a unit counted and the sha256 of what it wrote.

A stage that was killed starts again in the same work folder and does only what has no marker. The
folder is named by the identity of parameters and inputs; `code_identity` adds the code, because
units that other code finished are not ours.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from polylm_core.storage import fingerprint, sha256_file, write_atomic


def code_identity(stage: str, *packages: str) -> str:
    """A short hash of a stage's code and tables, of packages' versions and Python's.

    Python's, because its `unicodedata` says what a character is.
    """
    root = Path(__file__).parent
    files = {
        str(file.relative_to(root)): sha256_file(file)
        for suffix in ("py", "tsv")
        for file in sorted(root.rglob(f"*.{suffix}"))
        if _belongs(file.relative_to(root).parts, stage)
    }
    versions = {name: version(name) for name in packages}
    return fingerprint({**files, **versions, "python": sys.version})[:16]


def _belongs(parts: tuple[str, ...], stage: str) -> bool:
    if parts[0] == "stages":
        return parts[1] in (stage, "base.py")
    return parts[0] not in ("cli", "compute", "training")


def write_marker(marker: Path, files: Sequence[Path], content: Any) -> None:
    """Say that a unit is finished: what it counted, and the files it wrote."""
    written = {str(file.relative_to(marker.parent)): sha256_file(file) for file in files}
    write_atomic(marker, json.dumps({"files": written, "content": content}).encode())


def read_marker(marker: Path) -> Any | None:
    """What a finished unit counted; none if it is not finished or a file is not as it was."""
    try:
        found = json.loads(marker.read_bytes())
        for name, digest in found["files"].items():
            if sha256_file(marker.parent / name) != digest:
                return None
    except (OSError, ValueError, KeyError):
        return None
    return found["content"]
