"""Imports of large libraries without the garbage collector.

A training rank imports some 400,000 objects. CPython's collector goes through them again and again
while they come, once more at each later full collection, and at the process's end; none of them is
ever garbage. `gc.freeze` (Python's documentation) takes them out of its sight.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold garbage collection while the block imports, and leave out of it what is there then."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
