"""The data order: a pure function of streams, stages and seed, whatever the ranks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from polylm_core.training.dataset import (
    Batch,
    CurriculumOrder,
    PackedOrder,
    StageDraw,
    windows_of_stage,
)

CONTEXT = 4
STREAMS = {
    "eng_Latn": np.arange(0, 40, dtype=np.uint16),
    "deu_Latn": np.arange(100, 122, dtype=np.uint16),
}


def make_order(seed: int = 3, stages: list[StageDraw] | None = None) -> CurriculumOrder:
    draws = stages or [StageDraw("first", {"eng_Latn": 6, "deu_Latn": 2})]
    return CurriculumOrder(
        STREAMS, draws, seed=seed, context_tokens=CONTEXT, global_batch_windows=2
    )


def all_rows(order: CurriculumOrder) -> np.ndarray:
    return np.concatenate([order.batch(step).ids_BT for step in range(order.num_steps)])


def test_targets_are_the_next_tokens() -> None:
    batch = make_order().batch(0)
    assert np.array_equal(batch.ids_BT[:, 1:], batch.targets_BT[:, :-1])
    assert batch.ids_BT.shape == (2, CONTEXT)


def test_equal_seeds_give_equal_orders_and_others_do_not() -> None:
    assert np.array_equal(all_rows(make_order(3)), all_rows(make_order(3)))
    assert not np.array_equal(all_rows(make_order(3)), all_rows(make_order(4)))


def test_a_stage_draws_each_stream_as_often_as_it_says() -> None:
    rows = all_rows(make_order())
    assert Counter("deu" if row[0] >= 100 else "eng" for row in rows) == {"eng": 6, "deu": 2}


def test_no_window_comes_twice_within_an_epoch() -> None:
    order = make_order(stages=[StageDraw("all", {"eng_Latn": 10})])
    firsts = sorted(int(row[0]) for row in all_rows(order))
    assert firsts == list(range(0, 40, CONTEXT))


def test_the_second_stage_goes_on_where_the_first_left_a_stream() -> None:
    order = make_order(stages=[StageDraw("a", {"eng_Latn": 4}), StageDraw("b", {"eng_Latn": 6})])
    firsts = sorted(int(row[0]) for row in all_rows(order))
    assert firsts == list(range(0, 40, CONTEXT))
    assert order.stage_steps == [2, 3]


def test_a_short_stream_is_read_as_a_ring() -> None:
    order = CurriculumOrder(
        {"x": np.asarray([7, 8, 9])},
        [StageDraw("a", {"x": 2})],
        seed=0,
        context_tokens=CONTEXT,
        global_batch_windows=1,
    )
    assert order.window(0).tolist() == [7, 8, 9, 7, 8]


def test_ranks_share_a_batch_without_loss_or_overlap() -> None:
    batch = make_order().batch(0)
    shares = [batch.rows(slice(rank, None, 2)).ids_BT for rank in range(2)]
    together = np.concatenate(shares)
    assert sorted(map(tuple, together)) == sorted(map(tuple, batch.ids_BT))


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_windows_of_a_stage_fill_whole_steps_and_keep_the_shares(batch: int) -> None:
    windows = windows_of_stage(
        {"a": 6_000, "b": 3_000, "c": 1_000}, context_tokens=10, global_batch_windows=batch
    )
    assert sum(windows.values()) == 1_000 - 1_000 % batch
    assert windows["a"] == pytest.approx(600, abs=6)
    assert windows["c"] == pytest.approx(100, abs=2)


def test_packed_rows_are_all_seen_in_each_epoch() -> None:
    ids = np.arange(6)[:, None].repeat(CONTEXT, axis=1)
    order = PackedOrder(Batch(ids, ids, ids), seed=1, epochs=2, global_batch_windows=3)
    seen = np.concatenate([order.batch(step).ids_BT[:, 0] for step in range(order.num_steps)])
    assert order.num_steps == 4
    assert sorted(seen[:6]) == list(range(6)) == sorted(seen[6:])
    assert list(seen[:6]) != list(seen[6:])
