"""Imports and loads of many small objects without the garbage collector.

A training rank imports some 400,000 objects. CPython's collector goes through them again and again
while they come, once more at each later full collection, and at the process's end; none of them is
ever garbage. `gc.freeze` (Python's documentation of `gc`) takes them out of its sight.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold garbage collection while the block makes what it keeps."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def importing() -> Iterator[None]:
    """Hold garbage collection while the block imports, and leave out of it what is there then.

    For the start of a process: garbage that is there would stay as well.
    """
    with uncollected():
        try:
            yield
        finally:
            gc.freeze()
