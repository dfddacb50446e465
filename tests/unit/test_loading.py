"""Imports are held out of garbage collection, and collection goes on afterwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from polylm_core.loading import importing, uncollected


class Node:
    """Something that can be garbage: it may refer to itself."""

    itself: Node


def made_garbage() -> weakref.ref[Node]:
    node = Node()
    node.itself = node
    return weakref.ref(node)


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
    frozen_before = gc.get_freeze_count()
    with importing():
        kept = [Node() for _ in range(1000)]
    assert gc.get_freeze_count() >= frozen_before + len(kept)
    assert not any(found is kept[0] for found in gc.get_objects())


def test_garbage_of_what_was_loaded_is_collected() -> None:
    with uncollected():
        gone = made_garbage()
    gc.collect()
    assert gone() is None


def test_garbage_that_is_made_after_imports_is_collected() -> None:
    with importing():
        pass
    gone = made_garbage()
    gc.collect()
    assert gone() is None


def test_an_import_that_fails_leaves_collection_on() -> None:
    with pytest.raises(ImportError), importing():
        raise ImportError("no such library")
    assert gc.isenabled()


def test_a_process_that_does_not_collect_still_does_not() -> None:
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()
