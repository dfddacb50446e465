"""Positions of a window are numbered by document, as the index has them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from polylm_core.token_files import TokenFile, TokenFileWriter
from polylm_core.token_index import idx_path
from polylm_core.training.windows import copy_windows, segments_of

END = 2


def write(folder: Path, documents: list[list[int]], *, vocab_size: int = 8000) -> TokenFile:
    with TokenFileWriter(folder / "s", vocab_size=vocab_size) as writer:
        for ids in documents:
            writer.add(ids)
    return TokenFile.open(folder / "s")


def one_by_one(stream: TokenFile, first: int, context: int) -> list[int]:
    """What the kernel computes, by looking every target's document up."""
    numbers, found = [], 0
    for place in range(context):
        target = (first + 1 + place) % len(stream.tokens)
        begins = target == stream.document_span(stream.document_of(target))[0]
        found += int(begins and place > 0)
        numbers.append(found)
    return numbers


def test_windows_are_copied_into_the_rows_that_are_named(tmp_path: Path) -> None:
    tokens = write(tmp_path, [[5, 6, END], [7, 8, 9, END]]).tokens
    batch = np.zeros((4, 5), dtype=np.int32)
    firsts = np.array([1, 4, 6])
    copy_windows(tokens, firsts, np.array([3, 0, 1]), batch)
    expected = np.take(tokens, firsts[:, None] + np.arange(5), mode="wrap").tolist()
    assert batch.tolist() == [expected[1], expected[2], [0] * 5, expected[0]]


def test_an_input_belongs_to_the_document_of_its_target(tmp_path: Path) -> None:
    documents = [[5, 6, END], [7, END], [], [8, 9, 10, 11, 12, END], [13, END]]
    stream = write(tmp_path, documents)
    # inputs 5 6 | 2 7 | 2 8 9 10, targets 6 2 | 7 2 | 8 9 10 11
    assert segments_of(stream, np.array([0]), 8).tolist() == [[0, 0, 1, 1, 2, 2, 2, 2]]
    # inputs 10 11 12 | 2 13 | 2 5 6, targets 11 12 2 | 13 2 | 5 6 2: the ring closes
    assert segments_of(stream, np.array([7]), 8).tolist() == [[0, 0, 0, 1, 1, 2, 2, 2]]


@pytest.mark.parametrize("vocab_size", [8000, 256_000])
@pytest.mark.parametrize("context", [1, 5, 64, 300])
def test_the_kernel_numbers_as_looking_up_every_token_does(
    tmp_path: Path, vocab_size: int, context: int
) -> None:
    random = np.random.default_rng(4)
    sizes = random.integers(0, 12, 40)
    stream = write(tmp_path, [[3] * int(size) for size in sizes], vocab_size=vocab_size)
    firsts = np.arange(len(stream.tokens))
    expected = [one_by_one(stream, int(first), context) for first in firsts]
    assert segments_of(stream, firsts, context).tolist() == expected


def test_sequences_of_one_document_are_not_kept_apart(tmp_path: Path) -> None:
    write(tmp_path, [[1, 2], [3], [4, 5]])
    path = idx_path(tmp_path / "s")
    data = bytearray(path.read_bytes())
    data[26:34] = struct.pack("<Q", 3)
    path.write_bytes(bytes(data[:-32]) + struct.pack("<3q", 0, 2, 3))
    stream = TokenFile.open(tmp_path / "s")
    assert segments_of(stream, np.array([0]), 4).tolist() == [[0, 0, 1, 1]]
