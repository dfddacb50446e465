"""Native kernels: numba with one set of options, and machine code that is never stale.

numba caches the code of a function beside its file and looks at that file alone: a kernel that
calls one of another file would keep the old one. The cache's folder therefore carries the hash of
every file that has kernels.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

_PACKAGE = Path(__file__).parent


def _cache_folder() -> Path:
    digest = hashlib.sha256(numba.__version__.encode())
    for file in sorted(_PACKAGE.rglob("*.py")):
        content = file.read_bytes()
        if b"@kernel" in content or b"@inlined" in content:
            digest.update(content)
    beside = _PACKAGE / "__pycache__"
    if os.access(_PACKAGE, os.W_OK):
        beside.mkdir(exist_ok=True)
    home = beside if os.access(beside, os.W_OK) else Path.home() / ".cache" / "polylm"
    return home / f"kernels-{digest.hexdigest()[:16]}"


if not os.environ.get("NUMBA_CACHE_DIR"):
    setattr(numba.config, "CACHE_DIR", str(_cache_folder()))  # noqa: B010


def inlined(function: F) -> F:
    """Compile a small function into each kernel that calls it."""
    return cast(F, numba.njit(cache=True, inline="always")(function))


def kernel(function: F) -> F:
    """Compile a function for arrays; it runs without the interpreter's lock."""
    return cast(F, numba.njit(cache=True, nogil=True)(function))
