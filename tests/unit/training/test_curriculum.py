"""The data order of pretraining: a function of token set, stages, seed and step, whoever asks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from polylm_core.token_files import TokenFile, TokenFileWriter
from polylm_core.training.batches import BatchSizes
from polylm_core.training.curriculum import (
    CurriculumOrder,
    StageDraw,
    windows_of_stage,
)

CONTEXT = 4
STREAMS = {"eng_Latn": np.arange(0, 40), "deu_Latn": np.arange(100, 122)}
RECORDED_FIRSTS = [108, 100, 32, 28, 16, 24, 0, 20, 104, 8, 36, 4, 116, 12, 12, 112, 116, 4]


def write(folder: Path, name: str, documents: list[list[int]]) -> TokenFile:
    with TokenFileWriter(folder / name, vocab_size=8000) as writer:
        for ids in documents:
            writer.add(ids)
    return TokenFile.open(folder / name)


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenFile]:
    folder = tmp_path_factory.mktemp("streams")
    return {name: write(folder, name, [tokens.tolist()]) for name, tokens in STREAMS.items()}


def make_order(
    streams: dict[str, TokenFile],
    stages: list[dict[str, int]] | None = None,
    *,
    seed: int = 3,
    fingerprint: str = "made",
    batch: int = 2,
    ramp: tuple[tuple[int, int], ...] = (),
    attend: bool = True,
) -> CurriculumOrder:
    draws = stages or [{"eng_Latn": 6, "deu_Latn": 2}]
    return CurriculumOrder(
        streams,
        [StageDraw(f"stage-{number}", windows) for number, windows in enumerate(draws)],
        fingerprint=fingerprint,
        seed=seed,
        context_tokens=CONTEXT,
        batches=BatchSizes(batch, ramp),
        attend_across_documents=attend,
    )


def all_rows(order: CurriculumOrder) -> np.ndarray:
    return np.concatenate([order.batch(step).ids_BT for step in range(order.num_steps)])


def firsts(order: CurriculumOrder) -> list[int]:
    return [int(row[0]) for row in all_rows(order)]


def test_targets_are_the_next_tokens_in_int32(streams: dict[str, TokenFile]) -> None:
    batch = make_order(streams).batch(0)
    assert np.array_equal(batch.ids_BT[:, 1:], batch.targets_BT[:, :-1])
    assert batch.ids_BT.shape == (2, CONTEXT)
    assert batch.ids_BT.dtype == batch.targets_BT.dtype == np.int32
    assert batch.segments_BT is None


@pytest.mark.parametrize("change", [{"seed": 4}, {"fingerprint": "other"}])
def test_equal_runs_have_equal_orders_and_others_do_not(
    streams: dict[str, TokenFile], change: dict[str, object]
) -> None:
    stages = [{"eng_Latn": 10, "deu_Latn": 4}]
    order = all_rows(make_order(streams, stages))
    assert np.array_equal(order, all_rows(make_order(streams, stages)))
    assert not np.array_equal(order, all_rows(make_order(streams, stages, **change)))  # type: ignore[arg-type]


def test_a_step_is_the_same_whatever_was_asked_before(streams: dict[str, TokenFile]) -> None:
    stages = [{"eng_Latn": 6, "deu_Latn": 2}, {"eng_Latn": 9, "deu_Latn": 13}]
    run = make_order(streams, stages)
    expected = [run.batch(step).ids_BT for step in range(run.num_steps)]
    for step in reversed(range(run.num_steps)):
        assert np.array_equal(make_order(streams, stages).batch(step).ids_BT, expected[step])


def test_the_order_of_a_recorded_run_stays_what_it_was(streams: dict[str, TokenFile]) -> None:
    """A change here changes every run: raise `pretrain.revision` with it."""
    order = make_order(streams, [{"eng_Latn": 6, "deu_Latn": 2}, {"eng_Latn": 6, "deu_Latn": 4}])
    assert firsts(order) == RECORDED_FIRSTS


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_equal_windows_come_in_one_order_in_steps_of_any_size(
    streams: dict[str, TokenFile], batch: int
) -> None:
    stages = [{"eng_Latn": 6, "deu_Latn": 2}]
    assert firsts(make_order(streams, stages, batch=batch)) == firsts(make_order(streams, stages))


def test_a_ramp_cuts_the_same_rows_into_smaller_steps(streams: dict[str, TokenFile]) -> None:
    stages = [{"eng_Latn": 6, "deu_Latn": 2}, {"eng_Latn": 8}]
    plain, ramped = (
        make_order(streams, stages, batch=4, ramp=ramp) for ramp in ((), ((4, 1), (8, 2)))
    )
    # The ramp goes on into the second stage: 4 steps of 1, 4 of 2, then one of 4.
    assert [len(ramped.batch(step).ids_BT) for step in range(ramped.num_steps)] == (
        [1] * 4 + [2] * 4 + [4]
    )
    assert np.array_equal(all_rows(plain), all_rows(ramped))
    assert ramped.stage_steps == [6, 3]
    assert [ramped.stage_of(step) for step in range(9)] == [0] * 6 + [1] * 3
    assert ramped.num_windows == plain.num_windows == 16
    for step in range(ramped.num_steps):
        for stream, first in zip(*_places(ramped, step), strict=True):
            seen = ramped.readings(ramped.names[stream], first + 1, first + 2)
            assert step in {reading.step for reading in seen}


def _places(order: CurriculumOrder, step: int) -> tuple[list[int], list[int]]:
    windows = order.windows(step)
    return windows.streams.tolist(), windows.firsts.tolist()


def test_a_stage_that_ends_inside_a_step_of_a_ramp_is_refused(
    streams: dict[str, TokenFile],
) -> None:
    with pytest.raises(ValueError, match="stage-0 draws 5 windows and ends in a step of 2"):
        make_order(streams, [{"eng_Latn": 5}, {"eng_Latn": 3}], batch=4, ramp=((8, 2),))


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_ranks_share_a_batch_without_loss_or_overlap(
    streams: dict[str, TokenFile], world: int
) -> None:
    batch = make_order(streams, [{"eng_Latn": 4, "deu_Latn": 2}], batch=6).batch(0)
    shares = [batch.rows(slice(rank, None, world)).ids_BT for rank in range(world)]
    assert sorted(map(tuple, np.concatenate(shares))) == sorted(map(tuple, batch.ids_BT))


def test_a_stage_draws_each_stream_as_often_as_it_says(streams: dict[str, TokenFile]) -> None:
    stages = [{"eng_Latn": 6, "deu_Latn": 2}, {"eng_Latn": 1, "deu_Latn": 3}, {"eng_Latn": 2}]
    order = make_order(streams, stages)
    assert order.stage_steps == [4, 2, 1]
    assert [order.stage_of(step) for step in range(order.num_steps)] == [0, 0, 0, 0, 1, 1, 2]
    names = ["deu_Latn" if first >= 100 else "eng_Latn" for first in firsts(order)]
    for windows, begin, end in zip(stages, (0, 8, 12), (8, 12, 14), strict=True):
        assert Counter(names[begin:end]) == windows


def test_no_window_comes_twice_within_an_epoch_however_stages_cut_it(
    streams: dict[str, TokenFile],
) -> None:
    stages = [{"eng_Latn": 14, "deu_Latn": 4}, {"eng_Latn": 16, "deu_Latn": 10}]
    seen = firsts(make_order(streams, stages))
    english = [first for first in seen if first < 100]
    epochs = [english[begin : begin + 10] for begin in (0, 10, 20)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(0, 40, CONTEXT))] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    german = [first for first in seen if first >= 100]
    assert [sorted(german[begin : begin + 5]) for begin in (0, 5)] == [
        [100, 104, 108, 112, 116]
    ] * 2


def test_a_stream_is_read_in_one_order_under_any_mixture(streams: dict[str, TokenFile]) -> None:
    one = firsts(make_order(streams, [{"eng_Latn": 10}]))
    other = firsts(make_order(streams, [{"eng_Latn": 2, "deu_Latn": 6}, {"eng_Latn": 8}]))
    assert [first for first in other if first < 100] == one


def test_the_windows_a_run_draws_of_a_stream_are_those_of_its_steps(
    streams: dict[str, TokenFile],
) -> None:
    order = make_order(streams, [{"eng_Latn": 14, "deu_Latn": 4}])
    drawn = Counter[int]()
    for windows, times in order.draws("eng_Latn"):
        assert windows.shape[1] == CONTEXT + 1
        drawn.update(dict.fromkeys(windows[:, 0].tolist(), times))
    assert drawn == Counter(first for first in firsts(order) if first < 100)
    assert drawn.total() == 14
    assert list(order.draws("fra_Latn")) == []


def test_a_short_stream_is_read_as_a_ring(tmp_path: Path) -> None:
    order = make_order({"x": write(tmp_path, "x", [[7, 8, 9]])}, [{"x": 2}], batch=1)
    batch = order.batch(0)
    assert (batch.ids_BT.tolist(), batch.targets_BT.tolist()) == ([[7, 8, 9, 7]], [[8, 9, 7, 8]])


def test_readings_are_the_steps_that_predict_a_token(streams: dict[str, TokenFile]) -> None:
    order = make_order(streams, [{"eng_Latn": 14, "deu_Latn": 4}, {"eng_Latn": 16, "deu_Latn": 10}])
    for name, tokens in STREAMS.items():
        for position in range(len(tokens)):
            expected = [
                step
                for step in range(order.num_steps)
                for row in order.batch(step).targets_BT
                if tokens[position] in row
            ]
            seen = order.readings(name, position, position + 1)
            assert [reading.step for reading in seen] == expected
            assert [reading.epoch for reading in seen] == list(range(len(expected)))
    assert order.readings("fra_Latn", 0, 5) == order.readings("eng_Latn", 5, 5) == []


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_windows_of_a_stage_fill_whole_steps_and_keep_the_shares(batch: int) -> None:
    windows = windows_of_stage(
        {"a": 6_000, "b": 3_000, "c": 1_000}, context_tokens=10, global_batch_windows=batch
    )
    assert sum(windows.values()) == 1_000 - 1_000 % batch
    assert windows["a"] == pytest.approx(600, abs=6)
    assert windows["c"] == pytest.approx(100, abs=2)


def test_a_batch_keeps_documents_apart_where_params_say_so(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    documents = [[number] * int(random.integers(1, 7)) for number in range(40)]
    stream = {"s": write(tmp_path, "s", documents)}
    order = make_order(stream, [{"s": 20}], attend=False)
    plain = make_order(stream, [{"s": 20}])
    for step in range(order.num_steps):
        batch = order.batch(step)
        assert np.array_equal(batch.targets_BT, plain.batch(step).targets_BT)
        assert batch.segments_BT is not None
        same_document = batch.targets_BT[:, 1:] == batch.targets_BT[:, :-1]
        assert np.array_equal(batch.segments_BT[:, 1:] == batch.segments_BT[:, :-1], same_document)
        assert batch.rows(slice(1, 2)).segments_BT is not None


def test_a_stage_that_ends_inside_a_step_is_refused(streams: dict[str, TokenFile]) -> None:
    with pytest.raises(ValueError, match=r"stage-1 draws 3 windows and ends in a step of 2"):
        make_order(streams, [{"eng_Latn": 4}, {"eng_Latn": 3}])


def test_an_order_over_a_trillion_tokens_answers_anywhere(streams: dict[str, TokenFile]) -> None:
    stages = [{"eng_Latn": 300_001_280, "deu_Latn": 188_280_832}] * 2
    order = make_order(streams, stages, batch=2048)
    last = order.windows(order.num_steps - 1)
    assert order.num_steps == 2 * 238_419
    assert last.epochs[last.streams == 1].max() == 600_002_560 // 10 - 1
