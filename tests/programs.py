"""Programs that development packages bring."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def program(name: str) -> str:
    """Where a program lies: beside this Python, or else where a shell finds it."""
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which(name, path=places)
    assert found is not None, f"{name} is among the development dependencies: make install"
    return found
