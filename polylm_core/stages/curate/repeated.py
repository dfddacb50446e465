"""Lines that many documents of a language have."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from polylm_core.hashing import Hashes
from polylm_core.stages.curate.config import RepeatedLinesConfig
from polylm_core.stages.curate.duplicates import Index
from polylm_core.stages.curate.lines import Flags, Lines
from polylm_core.stages.curate.rows import Rows
from polylm_core.storage import replacing

FILTER = "repeated-lines"
REASON = "in-many-documents"

_ROWS_AT_ONCE = 4096
_BUCKETS = 64
"""Files that the lines are spread over by their hashes: one at a time is sorted in memory."""


def find_repeated(
    index: Index, kept: npt.NDArray[np.bool_], config: RepeatedLinesConfig, out: Path
) -> None:
    """Write the hashes of lines in too many documents, and of each the first document's key."""
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.stem}-") as folder:
        buckets = [Path(folder, f"{number:02d}") for number in range(_BUCKETS)]
        _spread(index, kept, config, buckets)
        hashes, keys = [], []
        for bucket in buckets:
            found = np.fromfile(bucket, np.uint64).reshape(-1, 2)
            found = found[np.lexsort((found[:, 1], found[:, 0]))]
            values, firsts, counts = np.unique(found[:, 0], return_index=True, return_counts=True)
            many = counts > config.max_documents
            hashes.append(values[many])
            keys.append(found[firsts[many], 1])
    with replacing(out) as partial, partial.open("wb") as file:
        np.savez(file, hashes=np.concatenate(hashes), keys=np.concatenate(keys))


def _spread(
    index: Index,
    kept: npt.NDArray[np.bool_],
    config: RepeatedLinesConfig,
    buckets: Sequence[Path],
) -> None:
    """Write the hash of each line, with its document's key, to the bucket of the hash."""
    with ExitStack() as stack:
        files = [stack.enter_context(bucket.open("wb")) for bucket in buckets]
        for part, places in index.within(np.flatnonzero(kept)):
            for first in range(0, len(places), _ROWS_AT_ONCE):
                rows = part.rows(places[first : first + _ROWS_AT_ONCE])
                lines = Lines(rows.texts)
                chosen = lines.letters >= config.min_letters
                found = np.empty((int(chosen.sum()), 2), np.uint64)
                found[:, 0] = lines.hashes[chosen]
                found[:, 1] = rows.keys[lines.documents[chosen]]
                found = np.unique(found, axis=0)  # masking makes lines of a document equal
                bucket = found[:, 0] >> np.uint64(58)
                for number in np.unique(bucket):
                    found[bucket == number].tofile(files[int(number)])


def repeated_flags(lines: Lines, rows: Rows, hashes: Hashes, keys: Hashes) -> Flags:
    """Whether a line is one of the repeated ones, and not their first copy."""
    if not len(hashes):
        return np.zeros(len(lines.hashes), np.bool_)
    place = np.minimum(np.searchsorted(hashes, lines.hashes), len(hashes) - 1)
    is_known = hashes[place] == lines.hashes
    return np.asarray(is_known & (keys[place] != rows.keys[lines.documents]))
