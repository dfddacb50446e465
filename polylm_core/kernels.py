"""Native kernels: numba with one set of options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function for arrays; the machine code is cached beside its file."""
    return cast(F, numba.njit(cache=True, nogil=True)(function))
