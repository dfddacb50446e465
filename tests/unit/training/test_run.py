"""How many ranks a run may have."""

from __future__ import annotations

import pytest

from polylm_core.errors import TrainingError
from polylm_core.settings import TrainingExecution
from polylm_core.training.run import world_sizes


def test_ranks_are_of_a_number_that_divides_the_batch() -> None:
    assert world_sizes(12, TrainingExecution(workers=6, min_workers=1)) == [1, 2, 3, 4, 6]
    assert world_sizes(12, TrainingExecution(workers=5, min_workers=3)) == [3, 4]


def test_without_a_least_number_all_workers_are_wanted() -> None:
    assert world_sizes(12, TrainingExecution(workers=4)) == [4]


def test_a_batch_that_no_allowed_number_divides_is_told() -> None:
    with pytest.raises(TrainingError, match="batch of 12 sequences cannot be shared by 5 ranks"):
        world_sizes(12, TrainingExecution(workers=5))
    with pytest.raises(TrainingError, match="batch of 13 sequences cannot be shared by 2 or 5"):
        world_sizes(13, TrainingExecution(workers=5, min_workers=2))
