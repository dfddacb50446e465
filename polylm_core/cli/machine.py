"""What a machine needs before PolyLM is installed on it or run.

Standard library only and in the syntax of Python 3.7: it has to run, and to say what is wrong,
under whatever `python3` a machine has. Each check returns None, or one line that says what is wrong
and how to mend it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Sequence

OLDEST = (3, 11)
NEWEST = (3, 12)
INSTALL_BYTES = 10 * 10**9
"""Free space to install in: 6.6 GB with torch's CUDA libraries (2.9 GB with its CPU build), and the
wheels while pip unpacks them."""
RUN_BYTES = 3 * 10**9
"""Free space to run in: artifacts, checkpoints and DVC's cache of the default recipe."""


def python_version() -> str | None:
    """Whether this Python is one PolyLM runs on."""
    seen = sys.version_info[:2]
    if OLDEST <= seen <= NEWEST:
        return None
    return (
        f"Python {seen[0]}.{seen[1]} ({sys.executable}) cannot be used: PolyLM needs 3.11 or 3.12; "
        "install one (apt install python3.12 python3.12-venv python3.12-dev), "
        "or name it: make run PYTHON=/path/to/python3.12"
    )


def virtual_environments() -> str | None:
    """Whether `python -m venv` can put pip into an environment (Debian ships that apart)."""
    if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        return None
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    return f"{sys.executable} has no venv with pip: apt install {package}"


def compilers() -> str | None:
    """Whether gcc and g++ are there; pip builds DeepSpeed and its like from source."""
    missing = [name for name in ("gcc", "g++") if shutil.which(name) is None]
    if not missing:
        return None
    return f"no {' and no '.join(missing)} on PATH: apt install {' '.join(missing)}"


def disk_to_install() -> str | None:
    """Whether there is room for the environment."""
    return _disk(INSTALL_BYTES, "to install")


def disk_to_run() -> str | None:
    """Whether there is room for the data."""
    return _disk(RUN_BYTES, "to run")


def _disk(needed: int, what: str) -> str | None:
    free = shutil.disk_usage(os.getcwd()).free
    if free >= needed:
        return None
    return (
        f"{free / 1e9:.1f} GB free on the disk of {os.getcwd()}, {needed / 1e9:.0f} GB needed "
        f"{what}: free some, or move the checkout to a larger disk"
    )


BEFORE_INSTALL = (python_version, virtual_environments, compilers, disk_to_install)
BEFORE_RUN = (python_version, compilers, disk_to_run)


def first_problem(checks: Sequence[Callable[[], str | None]]) -> str | None:
    """Return the first line that is wrong; later ones may only follow from it."""
    for check in checks:
        problem = check()
        if problem is not None:
            return problem
    return None
