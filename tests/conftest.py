"""What holds for every test."""

from __future__ import annotations

import os

# Ray's workers give way to all other programs, so that beside another test they would get no time.
os.environ["RAY_worker_niceness"] = "0"
# For tests that import DeepSpeed before a rank says what it computes on.
os.environ["DS_ACCELERATOR"] = "cpu"
