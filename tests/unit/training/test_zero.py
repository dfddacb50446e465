"""Sharing a global batch over ranks, and the typed DeepSpeed configuration."""

from __future__ import annotations

import pytest

from polylm_core.errors import TrainingError
from polylm_core.training.zero import accumulation


@pytest.mark.parametrize(
    ("batch", "world", "most", "expected"),
    [(16, 2, 8, (8, 1)), (16, 1, 8, (8, 2)), (12, 2, 4, (3, 2)), (7, 1, 4, (1, 7))],
)
def test_accumulation_fills_the_global_batch_exactly(
    batch: int, world: int, most: int, expected: tuple[int, int]
) -> None:
    micro, steps = accumulation(batch, world, most)
    assert (micro, steps) == expected
    assert micro * steps * world == batch


def test_ranks_that_cannot_share_the_batch_are_refused_with_both_numbers() -> None:
    with pytest.raises(TrainingError, match=r"16 sequences.*3 ranks"):
        accumulation(16, 3, 8)
