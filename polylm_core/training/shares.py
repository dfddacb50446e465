"""How ranks cut a batch, a parameter and the positions of a loss: arithmetic without torch.

A plan is made of it on a machine that has no accelerator, and by a command that answers at once.
"""

from __future__ import annotations

from polylm_core.errors import TrainingError
from polylm_core.settings import TrainingExecution

FLOAT32_BYTES = 4
MIN_CHUNKS = 10
"""A chunk has at most this part of the positions, unless it is smaller than CHUNK_BYTES. Not a much
smaller one: the gradient of the output matrix is summed over the chunks in the matrix's own
precision, and in bfloat16 each of these sums rounds."""
MAX_CHUNK_POSITIONS_FLOAT32 = 256
"""Float32 sums lose nothing by more chunks, and larger ones gain no speed."""
CHUNK_BYTES = 1 << 23
"""Logits of a chunk that need no saving: 256 positions of 8,000 float32."""
POSITIONS_MULTIPLE = 64
"""Chunks are cut to multiples of what matrix units take."""


def share(numel: int, rank: int, world_size: int) -> tuple[int, int]:
    """Return where a rank's part of a flattened parameter starts and stops, as ZeRO-3 cuts it."""
    size = -(-numel // world_size)
    return min(rank * size, numel), min((rank + 1) * size, numel)


def accumulation(global_batch: int, world_size: int, max_micro_batch: int) -> tuple[int, int]:
    """Return (micro-batch, accumulation steps) of a rank for a global batch of sequences.

    Raises TrainingError when the ranks cannot share the batch evenly.
    """
    if global_batch % world_size:
        raise TrainingError(
            f"a global batch of {global_batch} sequences cannot be shared by {world_size} ranks; "
            "change global_batch_tokens, or training.workers in the profile"
        )
    sequences = global_batch // world_size
    sizes = range(1, min(sequences, max_micro_batch) + 1)
    micro = max(size for size in sizes if sequences % size == 0)
    return micro, sequences // micro


def world_sizes(global_batch_windows: int, execution: TrainingExecution) -> list[int]:
    """Return the numbers of ranks that a run may have: those that share the batch evenly.

    Raises TrainingError when the profile allows none of them.
    """
    least = execution.min_workers or execution.workers
    allowed = range(least, execution.workers + 1)
    sizes = [ranks for ranks in allowed if global_batch_windows % ranks == 0]
    if not sizes:
        either = " or ".join(str(ranks) for ranks in sorted({least, execution.workers}))
        raise TrainingError(
            f"a global batch of {global_batch_windows} sequences cannot be shared by {either} "
            "ranks; change global_batch_tokens, or training.workers in the profile"
        )
    return sizes


def chunk_positions(num_positions: int, vocab_size: int, itemsize: int) -> int:
    """Return how many positions have logits, of `itemsize` bytes each, at once."""
    share = num_positions // MIN_CHUNKS
    if itemsize >= FLOAT32_BYTES:
        share = min(share, MAX_CHUNK_POSITIONS_FLOAT32)
    positions = max(share, CHUNK_BYTES // (vocab_size * itemsize), 1)
    return positions - positions % POSITIONS_MULTIPLE or positions
