"""The learning rate of PolyLM §3.3: linear warm-up from 1e-7, cosine to a tenth of the peak."""

from __future__ import annotations

import pytest

from polylm_core.training.schedule import Schedule

POLYLM_13B = Schedule(num_steps=152_500, warmup_steps=2_000, start=1e-7, peak=6e-5, final=6e-6)


def test_warm_up_ends_at_the_peak() -> None:
    assert POLYLM_13B.learning_rate(1_999) == pytest.approx(6e-5)


def test_warm_up_rises_in_equal_steps_from_its_start() -> None:
    first, second, third = (POLYLM_13B.learning_rate(step) for step in range(3))
    assert first > 1e-7
    assert second - first == pytest.approx(third - second)


def test_cosine_is_half_way_in_the_middle_and_ends_at_its_last_value() -> None:
    middle = 2_000 + (152_500 - 2_000) // 2 - 1
    assert POLYLM_13B.learning_rate(middle) == pytest.approx((6e-5 + 6e-6) / 2)
    assert POLYLM_13B.learning_rate(152_499) == pytest.approx(6e-6)


def test_a_run_without_warm_up_begins_near_its_peak() -> None:
    schedule = Schedule(num_steps=10, warmup_steps=0, start=0.0, peak=1.0, final=0.0)
    assert schedule.learning_rate(0) > 0.95
