"""Which tokens are in which step: a pure function of (mixture, streams, seed, step).

Legend: B sequences of a global batch, T tokens of context. The order knows nothing of ranks: a
rank takes rows of a global batch, so the data of a step is the same at any world size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from polylm_core.errors import StageError
from polylm_core.rounding import largest_remainder

Ids = NDArray[np.int64]

IGNORED_TARGET = -100
"""Target of a position that teaches nothing: padding, and prompts in fine-tuning."""


@dataclass(frozen=True)
class Batch:
    """Rows of one optimizer step."""

    ids_BT: Ids
    targets_BT: Ids
    """Next token of each position, or `IGNORED_TARGET`."""
    segments_BT: Ids | None = None
    """Which chat of a packed row a position belongs to; none when attention is plainly causal."""

    def rows(self, chosen: slice) -> Batch:
        """Return some of the rows."""
        segments = None if self.segments_BT is None else self.segments_BT[chosen]
        return Batch(self.ids_BT[chosen], self.targets_BT[chosen], segments)


class DataOrder(Protocol):
    """All steps of a run."""

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the run."""

    def batch(self, step: int) -> Batch:
        """Return the global batch of one step."""


@dataclass(frozen=True)
class StageDraw:
    """How many windows of each stream one curriculum stage draws."""

    name: str
    windows: Mapping[str, int]


def windows_of_stage(
    tokens_by_stream: Mapping[str, int], *, context_tokens: int, global_batch_windows: int
) -> dict[str, int]:
    """Turn a stage's tokens into windows that fill whole steps, by largest remainder.

    Raises StageError when they do not fill one.
    """
    total = sum(tokens_by_stream.values()) // context_tokens
    total -= total % global_batch_windows
    if total == 0:
        raise StageError(
            f"a curriculum stage of {sum(tokens_by_stream.values()):,} tokens does not fill one "
            f"step of {global_batch_windows * context_tokens:,}; raise mix.tokens or the stage's "
            "share_of_tokens, or lower pretrain.global_batch_tokens"
        )
    weight = sum(tokens_by_stream.values())
    exact = {name: total * tokens / weight for name, tokens in sorted(tokens_by_stream.items())}
    windows = largest_remainder(exact, total)
    return {name: count for name, count in windows.items() if count > 0}


class CurriculumOrder:
    """Windows of context drawn from token streams, one curriculum stage after the other.

    A stream is read as a ring of windows, each epoch in a new seeded permutation, without
    replacement, and goes on where the stage before left it.
    """

    def __init__(
        self,
        streams: Mapping[str, NDArray[np.integer]],
        stages: Sequence[StageDraw],
        *,
        seed: int,
        context_tokens: int,
        global_batch_windows: int,
    ) -> None:
        self._streams = streams
        self._context_tokens = context_tokens
        self._batch_windows = global_batch_windows
        self._names = sorted({name for stage in stages for name in stage.windows})
        taken = dict.fromkeys(self._names, 0)
        plan: list[NDArray[np.int64]] = []
        for number, stage in enumerate(stages):
            plan.append(self._plan_stage(number, stage, taken, seed))
        self._plan = np.concatenate(plan)
        """[windows, 2]: number of the stream and first token of the window."""
        self.stage_steps = [len(part) // global_batch_windows for part in plan]

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the run."""
        return len(self._plan) // self._batch_windows

    def batch(self, step: int) -> Batch:
        """Return the step's windows as [B, T] inputs and targets."""
        begin = step * self._batch_windows
        rows = [self.window(row) for row in range(begin, begin + self._batch_windows)]
        tokens = np.stack(rows)
        return Batch(ids_BT=tokens[:, :-1], targets_BT=tokens[:, 1:])

    def window(self, row: int) -> Ids:
        """Return the T + 1 tokens of one row of the whole run."""
        number, first = self._plan[row]
        stream = self._streams[self._names[number]]
        index = (first + np.arange(self._context_tokens + 1)) % len(stream)
        return np.asarray(stream[index], dtype=np.int64)

    def rows_of_stream(self, name: str) -> list[int]:
        """Return the rows of the whole run that come from one stream."""
        if name not in self._names:
            return []
        return [int(row) for row in np.flatnonzero(self._plan[:, 0] == self._names.index(name))]

    def _plan_stage(
        self, number: int, stage: StageDraw, taken: dict[str, int], seed: int
    ) -> NDArray[np.int64]:
        parts = []
        for name, count in sorted(stage.windows.items()):
            index = self._names.index(name)
            firsts = self._draw(name, index, taken[name], count, seed)
            taken[name] += count
            parts.append(np.stack([np.full(count, index, dtype=np.int64), firsts], axis=1))
        plan = np.concatenate(parts)
        shuffle = np.random.Generator(np.random.Philox(key=[seed, 1_000_003 + number]))
        return plan[shuffle.permutation(len(plan))]

    def _draw(self, name: str, index: int, skip: int, count: int, seed: int) -> NDArray[np.int64]:
        """Return the first tokens of windows `skip` to `skip + count` of a stream's epochs."""
        per_epoch = max(1, len(self._streams[name]) // self._context_tokens)
        drawn = np.empty(count, dtype=np.int64)
        position = 0
        while position < count:
            epoch, offset = divmod(skip + position, per_epoch)
            random = np.random.Generator(np.random.Philox(key=[seed, (epoch << 16) | index]))
            order = random.permutation(per_epoch)[offset : offset + count - position]
            drawn[position : position + len(order)] = order * self._context_tokens
            position += len(order)
        return drawn


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
                f"{global_batch_windows}; lower finetune.global_batch_tokens or add instructions"
            )
        order: list[NDArray[np.int64]] = []
        for epoch in range(-(-wanted // len(rows.ids_BT))):
            random = np.random.Generator(np.random.Philox(key=[seed, 2_000_003 + epoch]))
            order.append(random.permutation(len(rows.ids_BT)).astype(np.int64))
        self._order = np.concatenate(order)[:wanted]

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the run."""
        return len(self._order) // self._batch_windows

    def batch(self, step: int) -> Batch:
        """Return the step's packed rows."""
        begin = step * self._batch_windows
        chosen = self._order[begin : begin + self._batch_windows]
        segments = None if self._rows.segments_BT is None else self._rows.segments_BT[chosen]
        return Batch(self._rows.ids_BT[chosen], self._rows.targets_BT[chosen], segments)
