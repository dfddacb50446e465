"""Several texts in one buffer."""

from __future__ import annotations

import pytest

from polylm_core.characters import from_strings

TEXTS = ["a" * 5, "", "b" * 30, "äöü", "c", "", "d" * 12]


@pytest.mark.parametrize("max_bytes", [1, 7, 10, 1000])
def test_pieces_are_all_texts_in_their_order_none_of_them_cut(max_bytes: int) -> None:
    pieces = list(from_strings(TEXTS).pieces(max_bytes))
    assert [piece.text(row) for piece in pieces for row in range(len(piece))] == TEXTS
    longest = max(len(text.encode()) for text in TEXTS)
    assert all(piece.sizes.sum() <= max_bytes + longest for piece in pieces)


def test_no_texts_make_no_pieces() -> None:
    assert list(from_strings([]).pieces(10)) == []
