"""What holds for every test."""

from __future__ import annotations

import os

# For tests that import DeepSpeed before a rank says what it computes on.
os.environ["DS_ACCELERATOR"] = "cpu"
