"""How many windows each step has: smaller global batches at the beginning, then all the same."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence


class BatchSizes:
    """Which windows of a run, counted from its beginning, a step has.

    Both directions are arithmetic, however long the run is.
    """

    def __init__(self, windows: int, ramp: Sequence[tuple[int, int]] = ()) -> None:
        """`windows` are those of a step after the ramp.

        The ramp's pieces are (windows in all, windows of each step); whole steps fill a piece.
        """
        self._rows, self._steps, self._sizes = [0], [0], [size for _, size in ramp]
        for piece, size in ramp:
            if piece % size:
                raise ValueError(f"{piece} windows are no whole steps of {size}")
            self._rows.append(self._rows[-1] + piece)
            self._steps.append(self._steps[-1] + piece // size)
        self._sizes.append(windows)

    @property
    def full(self) -> int:
        """Windows of a step after the ramp."""
        return self._sizes[-1]

    @property
    def divisor(self) -> int:
        """Greatest number that divides the windows of every step."""
        return math.gcd(*self._sizes)

    def size(self, step: int) -> int:
        """Return the windows of a step."""
        return self._sizes[bisect_right(self._steps, step) - 1]

    def first_row(self, step: int) -> int:
        """Return the first window of a step; also the windows of the steps before it."""
        piece = bisect_right(self._steps, step) - 1
        return self._rows[piece] + (step - self._steps[piece]) * self._sizes[piece]

    def step_of(self, row: int) -> int:
        """Return the step that has a window; also the whole steps in so many windows."""
        piece = bisect_right(self._rows, row) - 1
        return self._steps[piece] + (row - self._rows[piece]) // self._sizes[piece]

    def steps_for(self, windows: int) -> int:
        """Return the fewest steps that have so many windows together."""
        return self.step_of(windows - 1) + 1 if windows else 0
