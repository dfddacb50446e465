"""Which tokens a run drew of each language: the baseline a model has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.storage import no_space_named
from polylm_core.training.curriculum import CurriculumOrder

DRAWN_FILE = "drawn_unigrams.parquet"


def write_drawn(path: Path, order: CurriculumOrder, languages: Sequence[str], vocab: int) -> None:
    """Write (language, id, count) of every token the run's steps draw from a language's stream."""
    columns: dict[str, list[object]] = {"language": [], "id": [], "count": []}
    for code in languages:
        counts = np.zeros(vocab, dtype=np.int64)
        for windows, times in order.draws(code):
            counts += times * np.bincount(windows[:, 1:].ravel(), minlength=vocab)
        seen = np.flatnonzero(counts)
        columns["language"] += [code] * len(seen)
        columns["id"] += seen.tolist()
        columns["count"] += counts[seen].tolist()
    schema = pa.schema([("language", pa.string()), ("id", pa.int64()), ("count", pa.int64())])
    with no_space_named(path):
        pq.write_table(pa.table(columns, schema=schema), path, compression="zstd")
