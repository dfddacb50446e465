"""How fast a run is, with its clock and memory: apart from the metrics, which have neither."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

import torch

EVERY_STEPS = 5
"""Steps between two measurements; what a driver hears of a run, it hears as often."""


class Throughput:
    """Tokens a second since the last measurement, written to `throughput.jsonl` by one rank."""

    def __init__(
        self,
        path: Path,
        *,
        writes: bool,
        device: torch.device,
        peak_tokens_per_second: float | None = None,
    ) -> None:
        """`peak_tokens_per_second` is the speed of all ranks at the peak of their accelerators."""
        self._path = path
        self._writes = writes
        self._device = device
        self._peak = peak_tokens_per_second
        self._tokens = 0
        self._since = time.monotonic()

    def count(self, tokens: int) -> None:
        """Add the tokens of a step over all ranks."""
        self._tokens += tokens

    def measure(self, step: int) -> dict[str, float]:
        """Note and return the tokens a second since the last call.

        With them comes the share of the peak that they are (`mfu`), where the peak is known.
        """
        now = time.monotonic()
        seconds = max(now - self._since, 1e-9)
        speed = self._tokens / seconds
        self._tokens, self._since = 0, now
        found = {"tokens_per_second": round(speed, 1)}
        if self._peak is not None:
            found["mfu"] = round(speed / self._peak, 4)
        if self._writes:
            row = {"step": step, **found, "peak_memory_bytes": peak_memory_bytes(self._device)}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        return found

    def pause(self) -> None:
        """Leave what has passed since the last measurement out: it was not training."""
        self._tokens, self._since = 0, time.monotonic()


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory a rank that computes there has held: of its GPU, or resident."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
