"""Which tokens a run drew of each language: the baseline a model has to beat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from polylm_core.storage import no_space_named
from polylm_core.training.curriculum import CurriculumOrder

Counts = NDArray[np.int64]
"""How often each id of a vocabulary occurs."""
DRAWN_FILE = "drawn_unigrams.parquet"


def write_drawn(path: Path, order: CurriculumOrder, languages: Sequence[str], vocab: int) -> None:
    """Write (language, id, count) of every token the run's steps draw from a language's stream."""
    write_counts(
        path,
        {
            code: _sum(
                (
                    times * np.bincount(windows[:, 1:].ravel(), minlength=vocab)
                    for windows, times in order.draws(code)
                ),
                vocab,
            )
            for code in languages
        },
    )


def _sum(counts: Iterable[Counts], vocab: int) -> Counts:
    total = np.zeros(vocab, dtype=np.int64)
    for each in counts:
        total += each
    return total


def write_counts(path: Path, counts_by_language: Mapping[str, Counts]) -> None:
    """Write (language, id, count) of every token with a count."""
    columns: dict[str, list[object]] = {"language": [], "id": [], "count": []}
    for code, counts in counts_by_language.items():
        seen = np.flatnonzero(counts)
        columns["language"] += [code] * len(seen)
        columns["id"] += seen.tolist()
        columns["count"] += counts[seen].tolist()
    schema = pa.schema([("language", pa.string()), ("id", pa.int64()), ("count", pa.int64())])
    with no_space_named(path):
        pq.write_table(pa.table(columns, schema=schema), path, compression="zstd")
