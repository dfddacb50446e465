"""Freed memory stays this process's: a step of training wants as much again at once.

glibc gives every large block back to the kernel, which clears it before the next tensor has it; of
a step on processors that takes some percent (mallopt(3): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD).
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
MMAP_THRESHOLD_BYTES = 1 << 30
"""Blocks from here on are still given back."""
TRIM_THRESHOLD_BYTES = (1 << 31) - 1
"""The most that mallopt takes: free memory at the heap's end from which on it is given back."""


def keep_freed_memory() -> None:
    """Let glibc keep what is freed; another C library is left as it is."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
