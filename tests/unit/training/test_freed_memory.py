"""A training rank keeps the memory that its tensors give free."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource, sys
import torch
from polylm_core.training.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(16 << 20)
before = faults()
for _ in range(8):
    torch.ones(16 << 20)
print(faults() - before)
"""
PAGES = 16 << 20 << 2 >> 12
"""Of 4 KB, of a tensor of 64 MB."""


def faults(how: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_tensors_have_the_memory_of_those_before_them() -> None:
    kept, given_back = faults("keep"), faults("as it is")
    assert kept < 2 * PAGES  # of eight tensors
    assert given_back > 2 * kept
