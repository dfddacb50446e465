"""Which document each position of a window belongs to, from the ends of documents in the index.

An input belongs to the document that its target is in: the end token before a document begins it,
as in evaluation and generation, and no target is lost.

Legend: N windows, T tokens of context.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polylm_core.kernels import inlined, kernel
from polylm_core.token_files import TokenFile
from polylm_core.token_index import OFFSET

Ids = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
_WIDTH = OFFSET.itemsize


def segments_of(stream: TokenFile, firsts: npt.NDArray[np.int64], context_tokens: int) -> Ids:
    """Number the documents of windows from 0, [N, T]; `firsts` are their first tokens, [N]."""
    segments = np.zeros((len(firsts), context_tokens), dtype=np.int32)
    # An index of Megatron-LM's is not aligned, so the kernel reads its bytes.
    pointers, bounds = stream.pointers.view(np.uint8), stream.bounds.view(np.uint8)
    sizes = np.asarray([len(stream.tokens), stream.tokens.dtype.itemsize], dtype=np.int64)
    _number_documents(pointers, bounds, sizes, firsts, segments)
    return segments


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
    sizes: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.int64],
    segments: Ids,
) -> None:
    """Fill [N, T] zeros; `sizes` are the tokens of the stream and the bytes of one."""
    size, width = sizes[0], sizes[1]
    context = segments.shape[1]
    documents = len(bounds) // _WIDTH - 1
    for row in range(len(firsts)):
        done = 0
        while done < context:  # once, unless the ring closes inside the window
            begin = (firsts[row] + 1 + done) % size
            span = min(context - done, size - begin)
            sequence = _first_at_least(pointers, begin * width, 0)
            number = _first_at_least(bounds, sequence, sequence)  # equal in files written here
            while number < documents and _entry(bounds, number) * _WIDTH < len(pointers):
                start = _entry(pointers, _entry(bounds, number)) // width - begin
                if start >= span:
                    break
                segments[row, done + start] = 1
                number += 1
            done += span
        segments[row, 0] = 0
        for place in range(1, context):
            segments[row, place] += segments[row, place - 1]
