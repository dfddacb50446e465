"""Imports are held out of garbage collection, and collection goes on afterwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from polylm_core.loading import uncollected


class Node:
    """Something that can be garbage: it may refer to itself."""

    itself: Node


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_collected_while_the_block_imports() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_imported_is_left_out_of_later_collections() -> None:
    kept = [Node() for _ in range(1000)]
    with uncollected():
        frozen_before = gc.get_freeze_count()
    assert gc.get_freeze_count() >= frozen_before + len(kept)
    assert not any(found is kept[0] for found in gc.get_objects())


def test_garbage_that_is_made_afterwards_is_collected() -> None:
    with uncollected():
        pass
    node = Node()
    node.itself = node
    gone = weakref.ref(node)
    del node
    gc.collect()
    assert gone() is None


def test_an_import_that_fails_leaves_collection_on() -> None:
    with pytest.raises(ImportError), uncollected():
        raise ImportError("no such library")
    assert gc.isenabled()


def test_a_process_that_does_not_collect_still_does_not() -> None:
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()
