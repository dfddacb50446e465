"""Steps of growing size: which windows they have, in both directions."""

from __future__ import annotations

import pytest

from polylm_core.training.batches import BatchSizes


def test_steps_of_a_ramp_follow_each_other_without_gap_or_overlap() -> None:
    batches = BatchSizes(12, [(24, 3), (24, 4)])
    assert [batches.size(step) for step in range(16)] == [3] * 8 + [4] * 6 + [12] * 2
    begin = 0
    for step in range(40):
        assert batches.first_row(step) == begin
        rows = range(begin, begin + batches.size(step))
        assert {batches.step_of(row) for row in rows} == {step}
        begin = rows.stop
    assert [batches.steps_for(windows) for windows in (0, 1, 3, 4, 24, 25)] == [0, 1, 1, 2, 8, 9]
    assert batches.divisor == 1
    assert BatchSizes(12, [(24, 3), (24, 6)]).divisor == 3


def test_without_a_ramp_all_steps_are_of_one_size() -> None:
    batches = BatchSizes(7)
    assert (batches.size(10**12), batches.first_row(10**12)) == (7, 7 * 10**12)
    assert (batches.step_of(7 * 10**12 - 1), batches.divisor) == (10**12 - 1, 7)


def test_a_piece_that_ends_inside_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="10 windows are no whole steps of 4"):
        BatchSizes(8, [(10, 4)])
