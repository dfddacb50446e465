"""How the streams of a curriculum stage take turns: computed for any rows, stored for none.

A stage of N rows is cut into K blocks of about `BLOCK_ROWS`. Up to block b a stream with n rows has
had floor(n b / K + its phase) of them, so every stretch of the stage keeps the mixture, rare
streams are spread evenly and all counts are met at the end. Inside a block the rows are shuffled. A
stream's rows are numbered in the order in which the steps see them: that is their ordinal.

Legend: S streams, L blocks, N rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polylm_core.training.permutation import Counts, mixed, subkeys

BLOCK_ROWS = 64
"""Small, so that mixtures are even and one row costs little; large enough that what comes next
cannot be told from what came before."""
MAX_BLOCKS = 1 << 31
"""A product of two numbers below this fits 63 bits."""
_PHASE, _SHUFFLE = 0, 1


@dataclass(frozen=True)
class Turns:
    """Consecutive rows of a stage."""

    streams: Counts
    """Number of the stream of each row, [N]."""
    ordinals: Counts
    """How many rows of the same stream come before it in the stage, [N]."""


class Interleaving:
    """The turns of one stage; `counts` are the rows of each stream, [S]."""

    def __init__(self, counts: Sequence[int], key: np.uint64) -> None:
        self._counts = np.asarray(counts, dtype=np.int64)
        self.rows = sum(counts)
        self._blocks = max(1, min(-(-self.rows // BLOCK_ROWS), MAX_BLOCKS))
        phases = subkeys(subkeys(key, _PHASE), np.arange(len(counts)))
        self._phases = (phases % np.uint64(self._blocks)).astype(np.int64)
        self._shuffle = subkeys(key, _SHUFFLE)

    def turns(self, begin: int, end: int) -> Turns:
        """The rows `begin` to `end` of the stage."""
        first, last = self._blocks_around(begin, end)
        before_LS = self._before(np.arange(first, last + 1))
        dealt = self._deal(first, np.diff(before_LS, axis=0))
        by_stream = np.argsort(dealt, kind="stable")
        sizes = before_LS[-1] - before_LS[0]
        shift = before_LS[0] - (np.cumsum(sizes) - sizes)
        ordinals = np.empty(len(dealt), dtype=np.int64)
        ordinals[by_stream] = np.arange(len(dealt)) + shift[dealt[by_stream]]
        skipped = int(before_LS[0].sum())
        chosen = slice(begin - skipped, end - skipped)
        return Turns(dealt[chosen], ordinals[chosen])

    def row(self, stream: int, ordinal: int) -> int:
        """The row of a stream's ordinal: the inverse of `turns`."""
        block = bisect_right(
            range(self._blocks), ordinal, key=lambda number: int(self._before([number])[0, stream])
        )
        before_LS = self._before([block - 1, block])
        dealt = self._deal(block - 1, np.diff(before_LS, axis=0))
        own = np.flatnonzero(dealt == stream)
        return int(before_LS[0].sum() + own[ordinal - before_LS[0, stream]])

    def _blocks_around(self, begin: int, end: int) -> tuple[int, int]:
        """Blocks that hold the rows: those before one differ from b N / K by less than S."""
        slack = len(self._counts)
        first = (begin - slack) * self._blocks // self.rows - 1
        last = (end + slack) * self._blocks // self.rows + 2
        return max(0, first), min(self._blocks, last)

    def _before(self, blocks: Sequence[int] | Counts) -> Counts:
        """Rows of each stream in all blocks before each of these, [L, S]."""
        number_L1 = np.asarray(blocks, dtype=np.int64)[:, None]
        whole_S, rest_S = np.divmod(self._counts, self._blocks)
        parts_LS = (rest_S * number_L1 + self._phases) // self._blocks
        before_LS: Counts = whole_S * number_L1 + parts_LS
        return before_LS

    def _deal(self, first: int, counts_LS: Counts) -> Counts:
        """Streams of the rows of consecutive blocks, [N], each block shuffled."""
        num_blocks, num_streams = counts_LS.shape
        sizes = counts_LS.sum(axis=1)
        blocks: NDArray[np.int64] = np.repeat(np.arange(num_blocks), sizes)
        streams = np.repeat(np.tile(np.arange(num_streams), num_blocks), counts_LS.ravel())
        places = np.arange(len(blocks)) - (np.cumsum(sizes) - sizes)[blocks]
        keys = subkeys(self._shuffle, first + np.arange(num_blocks))
        hashes = mixed(keys[blocks] ^ places.astype(np.uint64))
        dealt: Counts = streams[np.lexsort((hashes, blocks))]
        return dealt
