"""Windows of a stream into rows of a batch: their tokens, and which document each position is of.

An input belongs to the document that its target is in, by the ends of documents in the index: the
end token before a document begins it, as in evaluation and generation, and no target is lost.

Legend: B rows, N windows of one stream, T tokens of context.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polylm_core.kernels import inlined, kernel
from polylm_core.token_files import TokenFile
from polylm_core.token_index import OFFSET

Ids = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
_WIDTH = OFFSET.itemsize


def segments_of(stream: TokenFile, firsts: Numbers, context_tokens: int) -> Ids:
    """Number the documents of windows from 0, [N, T]; `firsts` are their first tokens, [N]."""
    segments = np.zeros((len(firsts), context_tokens), dtype=np.int32)
    number_documents(stream, firsts, np.arange(len(firsts)), segments)
    return segments


def number_documents(stream: TokenFile, firsts: Numbers, rows: Numbers, segments: Ids) -> None:
    """Number the documents of windows from 0, in these rows of [B, T] zeros."""
    # An index of Megatron-LM's is not aligned, so the kernel reads its bytes.
    pointers, bounds = stream.pointers.view(np.uint8), stream.bounds.view(np.uint8)
    sizes = np.asarray([len(stream.tokens), stream.tokens.dtype.itemsize], dtype=np.int64)
    _number_documents(pointers, bounds, sizes, firsts, rows, segments)


@kernel
def copy_windows(
    tokens: npt.NDArray[np.integer], firsts: Numbers, rows: Numbers, batch: Ids
) -> None:
    """Copy windows of a ring of tokens into these rows of a batch, as long as its rows are."""
    size, length = len(tokens), batch.shape[1]
    for number in range(len(firsts)):
        first, row = firsts[number], batch[rows[number]]
        if first + length <= size:
            window = tokens[first : first + length]
            for place in range(length):
                row[place] = window[place]
        else:
            for place in range(length):
                row[place] = tokens[(first + place) % size]


@inlined
def _entry(values: Bytes, number: int) -> int:
    """A little-endian entry of an index."""
    entry = np.int64(0)
    for place in range(_WIDTH):
        entry |= np.int64(values[number * _WIDTH + place]) << np.int64(8 * place)
    return int(entry)


@kernel
def _first_at_least(values: Bytes, least: int, guess: int) -> int:
    """Number of the first entry of a rising index that is at least so much."""
    low, high = 0, len(values) // _WIDTH
    if 0 < guess < high and _entry(values, guess - 1) < least <= _entry(values, guess):
        return guess
    while low < high:
        middle = (low + high) // 2
        if _entry(values, middle) < least:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _number_documents(
    pointers: Bytes,
    bounds: Bytes,
    sizes: Numbers,
    firsts: Numbers,
    rows: Numbers,
    segments: Ids,
) -> None:
    """`sizes` are the tokens of the stream and the bytes of one."""
    size, width = sizes[0], sizes[1]
    context = segments.shape[1]
    documents = len(bounds) // _WIDTH - 1
    for window in range(len(firsts)):
        numbers, done = segments[rows[window]], 0
        while done < context:  # once, unless the ring closes inside the window
            begin = (firsts[window] + 1 + done) % size
            span = min(context - done, size - begin)
            sequence = _first_at_least(pointers, begin * width, 0)
            number = _first_at_least(bounds, sequence, sequence)  # equal in files written here
            while number < documents and _entry(bounds, number) * _WIDTH < len(pointers):
                start = _entry(pointers, _entry(bounds, number)) // width - begin
                if start >= span:
                    break
                numbers[done + start] = 1
                number += 1
            done += span
        numbers[0] = 0
        for place in range(1, context):
            numbers[place] += numbers[place - 1]
