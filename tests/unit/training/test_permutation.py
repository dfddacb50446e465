"""A computed permutation is one, has an inverse, and is as good as a drawn one."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from polylm_core import hashing
from polylm_core.training.permutation import key_of, mixed, permuted, subkeys, unpermuted

SIZES = (1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 97, 127, 128, 1000, 1009, 4096, 10_007)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", [0, 1, 2**63 + 5])
def test_every_index_goes_to_a_place_of_its_own_and_back(size: int, key: int) -> None:
    indices = np.arange(size)
    places = permuted(indices, size, np.uint64(key))
    assert sorted(places.tolist()) == list(range(size))
    assert np.array_equal(unpermuted(places, size, np.uint64(key)), indices)


def test_every_element_may_have_a_size_and_a_key_of_its_own() -> None:
    sizes, keys = np.array([5, 97, 10**12]), subkeys(key_of("together"), np.arange(3))
    together = permuted([4, 50, 10**11], sizes, keys)
    alone = [
        int(permuted(index, size, key))
        for index, size, key in zip([4, 50, 10**11], sizes, keys, strict=True)
    ]
    assert together.tolist() == alone
    assert unpermuted(together, sizes, keys).tolist() == [4, 50, 10**11]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_every_order_of_few_things_is_equally_likely(size: int) -> None:
    orders = list(permutations(range(size)))
    keys = subkeys(key_of("few"), np.arange(1000 * len(orders)))
    seen = Counter(map(tuple, permuted(np.arange(size), size, keys[:, None]).tolist()))
    assert seen.keys() == set(orders)
    # 1,000 of each are expected, with a standard deviation of at most 32.
    assert all(840 < count < 1160 for count in seen.values())


def test_neighbours_are_sent_anywhere() -> None:
    size = 1_000_003
    places = permuted(np.arange(100_000), size, key_of("spread"))
    steps = np.diff(places) % size
    tenths = np.bincount(steps * 10 // size, minlength=10)
    # 10,000 in each are expected, with a standard deviation of 95.
    assert np.abs(tenths - 10_000).max() < 500


def test_another_key_gives_another_order() -> None:
    one, other = (permuted(np.arange(1000), 1000, key_of("order", n)) for n in range(2))
    assert (one == other).sum() < 10


def test_an_index_outside_is_refused() -> None:
    with pytest.raises(IndexError):
        permuted([3, 4], 4, key_of("x"))


def test_the_order_of_a_recorded_run_stays_what_it_was() -> None:
    """A change here changes every run: raise `pretrain.revision` with it."""
    assert permuted(np.arange(8), 8, key_of("recorded", 1)).tolist() == [2, 5, 6, 7, 4, 3, 0, 1]
    assert permuted(0, 10**9, key_of("recorded", 2)) == 159_696_763


def test_mixing_is_that_of_the_kernels() -> None:
    values = np.random.default_rng(1).integers(0, 2**64, 1000, dtype=np.uint64)
    assert mixed(values).tolist() == [int(hashing.mixed(value)) for value in values]
