"""What a step is given: a global batch, out of an order that knows nothing of ranks.

Legend: B sequences of a global batch, T tokens of context. A rank takes rows of a global batch, so
the data of a step is the same at any world size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from polylm_core.errors import StageError

Ids = NDArray[np.int32]

IGNORED_TARGET = -100
"""Target of a position that teaches nothing: padding, and prompts in fine-tuning."""


@dataclass(frozen=True)
class Batch:
    """Rows of one optimizer step."""

    ids_BT: Ids
    targets_BT: Ids
    """Next token of each position, or `IGNORED_TARGET`."""
    segments_BT: Ids | None = None
    """Which chat or document of a row a position belongs to; none when attention is plainly causal.
    """

    def rows(self, chosen: slice) -> Batch:
        """Return some of the rows."""
        segments = None if self.segments_BT is None else self.segments_BT[chosen]
        return Batch(self.ids_BT[chosen], self.targets_BT[chosen], segments)


class DataOrder(Protocol):
    """All steps of a run."""

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the run."""

    def num_positions(self, step: int) -> int:
        """Return the positions of the step's global batch."""

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        """Return these rows of one step's global batch; the others are not read."""

    def num_targets(self, step: int) -> int:
        """Return how many positions of the step's global batch have a target."""


class PackedOrder:
    """Packed chats, reshuffled each epoch; the rows of a step are whole windows of context.

    Raises StageError when the rows do not fill one step.
    """

    def __init__(self, rows: Batch, *, seed: int, epochs: float, global_batch_windows: int) -> None:
        self._rows = rows
        self._batch_windows = global_batch_windows
        wanted = int(len(rows.ids_BT) * epochs)
        if wanted < global_batch_windows:
            raise StageError(
                f"{len(rows.ids_BT)} packed rows for {epochs:g} epochs do not fill one step of "
                f"{global_batch_windows}; lower finetune.phases[].global_batch_tokens or add "
                "instructions"
            )
        order: list[NDArray[np.int64]] = []
        for epoch in range(-(-wanted // len(rows.ids_BT))):
            random = np.random.Generator(np.random.Philox(key=[seed, 2_000_003 + epoch]))
            order.append(random.permutation(len(rows.ids_BT)).astype(np.int64))
        self._order = np.concatenate(order)[:wanted]
        self._targets = (rows.targets_BT != IGNORED_TARGET).sum(axis=1)

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the run."""
        return len(self._order) // self._batch_windows

    def num_positions(self, step: int) -> int:
        """Return the positions of the step's global batch."""
        positions: int = self._rows.ids_BT.shape[1]
        return self._batch_windows * positions

    def num_targets(self, step: int) -> int:
        """Return how many positions of the step's global batch have a target."""
        return int(self._targets[self._chosen(step)].sum())

    def _chosen(self, step: int) -> NDArray[np.int64]:
        begin = step * self._batch_windows
        return self._order[begin : begin + self._batch_windows]

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        """Return these of the step's packed rows."""
        chosen = self._chosen(step)[rows]
        segments = None if self._rows.segments_BT is None else self._rows.segments_BT[chosen]
        return Batch(self._rows.ids_BT[chosen], self._rows.targets_BT[chosen], segments)
