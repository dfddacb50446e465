"""Streams take turns by the mixture, in every stretch of a stage."""

from __future__ import annotations

import numpy as np
import pytest

from polylm_core.training.interleave import BLOCK_ROWS, Interleaving
from polylm_core.training.permutation import key_of

COUNTS = [
    [1],
    [0, 3],
    [64],
    [1000, 300, 7, 1, 0, 50],
    [5] * 40,
    [3000, *[1] * 200],
]

RECORDED_STREAMS = [0, 0, 0, 0, 0, 0, 1, 2, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 1, 0]
RECORDED_ORDINALS = [
    90,
    91,
    92,
    93,
    94,
    95,
    25,
    5,
    6,
    96,
    97,
    98,
    99,
    100,
    26,
    101,
    102,
    103,
    104,
    105,
    7,
    106,
    27,
    107,
]


@pytest.mark.parametrize("counts", COUNTS)
def test_every_stream_has_all_its_turns_in_order(counts: list[int]) -> None:
    stage = Interleaving(counts, key_of("turns"))
    turns = stage.turns(0, stage.rows)
    assert stage.rows == sum(counts) == len(turns.streams)
    for stream, count in enumerate(counts):
        assert turns.ordinals[turns.streams == stream].tolist() == list(range(count))


@pytest.mark.parametrize("counts", COUNTS)
def test_rows_are_the_same_in_any_portions(counts: list[int]) -> None:
    stage = Interleaving(counts, key_of("turns"))
    whole = stage.turns(0, stage.rows)
    for size in (1, 7, 100):
        for begin in range(0, stage.rows, 13 * size):
            end = min(begin + size, stage.rows)
            some = stage.turns(begin, end)
            assert np.array_equal(some.streams, whole.streams[begin:end])
            assert np.array_equal(some.ordinals, whole.ordinals[begin:end])


@pytest.mark.parametrize("counts", COUNTS)
def test_a_turn_leads_back_to_its_row(counts: list[int]) -> None:
    stage = Interleaving(counts, key_of("turns"))
    turns = stage.turns(0, stage.rows)
    for row in range(0, stage.rows, 3):
        assert stage.row(int(turns.streams[row]), int(turns.ordinals[row])) == row


def test_the_turns_of_a_recorded_stage_stay_what_they_were() -> None:
    """A change here changes every run: raise `pretrain.revision` with it."""
    turns = Interleaving([150, 40, 10], key_of("recorded", 1)).turns(120, 144)
    assert turns.streams.tolist() == RECORDED_STREAMS
    assert turns.ordinals.tolist() == RECORDED_ORDINALS


def test_the_mixture_holds_in_every_stretch() -> None:
    counts = np.array([7000, 2500, 450, 50])
    streams = Interleaving(counts.tolist(), key_of("even")).turns(0, 10_000).streams
    for begin in range(0, 10_000, 1000):
        seen = np.bincount(streams[begin : begin + 1000], minlength=4)
        assert np.abs(seen - counts / 10).max() <= BLOCK_ROWS / 2


def test_another_key_gives_other_turns() -> None:
    one, other = (Interleaving([500, 500], key_of("key", n)).turns(0, 1000) for n in range(2))
    assert 300 < (one.streams == other.streams).sum() < 700


def test_a_stage_of_a_trillion_tokens_is_there_at_once() -> None:
    counts = [10**9 + 7 * number for number in range(35)]
    stage = Interleaving(counts, key_of("large"))
    middle = stage.turns(stage.rows // 2, stage.rows // 2 + 2048)
    assert np.abs(np.bincount(middle.streams, minlength=35) - 2048 / 35).max() < BLOCK_ROWS
    assert stage.row(int(middle.streams[5]), int(middle.ordinals[5])) == stage.rows // 2 + 5
    last = stage.turns(stage.rows - 3, stage.rows)
    assert all(
        counts[s] - 100 < o < counts[s] for s, o in zip(last.streams, last.ordinals, strict=True)
    )
