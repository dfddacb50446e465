"""Lines of repaired texts: where they are, and texts without some of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polylm_core.characters import LETTER, Bytes, Offsets, Texts, decode_at, properties
from polylm_core.hashing import Hashes, byte_hash
from polylm_core.kernels import kernel

Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


class Lines:
    """Every line of some texts."""

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        self.documents, self.starts, self.ends, self.letters, self.hashes = _find_lines(
            texts.values, texts.offsets, properties()
        )
        """Document, first byte, end, letters and hash of each line, in order."""

    def without(self, flags: Flags) -> Texts:
        """The texts without the flagged lines."""
        if not flags.any():
            return self.texts
        return Texts(
            *_without(
                self.texts.values, self.texts.offsets, self.documents, self.starts, self.ends, flags
            )
        )


@kernel
def _find_lines(
    values: Bytes, offsets: Offsets, properties: Bytes
) -> tuple[Places, Places, Places, Places, Hashes]:
    most = len(offsets) - 1
    for value in values:
        most += value == 10
    documents, starts = np.empty(most, np.int64), np.empty(most, np.int64)
    ends, letters = np.empty(most, np.int64), np.empty(most, np.int64)
    hashes = np.empty(most, np.uint64)
    count = 0
    for document in range(len(offsets) - 1):
        start = position = offsets[document]
        end, seen = offsets[document + 1], 0
        while position <= end:
            if position == end or values[position] == 10:
                if position > start:
                    documents[count], starts[count], ends[count] = document, start, position
                    letters[count] = seen
                    hashes[count] = byte_hash(values, start, position)
                    count += 1
                position += 1
                start, seen = position, 0
            else:
                point, position = decode_at(values, position)
                seen += (properties[point] & LETTER) != 0
    return documents[:count], starts[:count], ends[:count], letters[:count], hashes[:count]


@kernel
def _without(
    values: Bytes,
    offsets: Offsets,
    documents: Places,
    starts: Places,
    ends: Places,
    flags: Flags,
) -> tuple[Bytes, Offsets]:
    out, bounds = np.empty(len(values), np.uint8), np.zeros(len(offsets), np.int64)
    at = line = 0
    for document in range(len(offsets) - 1):
        first = at
        while line < len(documents) and documents[line] == document:
            if not flags[line]:
                if at > first:
                    out[at] = 10
                    at += 1
                size = ends[line] - starts[line]
                out[at : at + size] = values[starts[line] : ends[line]]
                at += size
            line += 1
        bounds[document + 1] = at
    return out[:at], bounds
