"""Sharing a global batch and the parameters over ranks."""

from __future__ import annotations

import pytest

from polylm_core.errors import TrainingError
from polylm_core.training.shares import accumulation, share


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


@pytest.mark.parametrize("numel", [1, 5, 6, 7, 1000])
@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_the_parts_of_all_ranks_are_the_whole_parameter_once(numel: int, world: int) -> None:
    parts = [share(numel, rank, world) for rank in range(world)]
    elements = [element for start, stop in parts for element in range(start, stop)]
    assert elements == list(range(numel))
