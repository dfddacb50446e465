"""The funnel as tables: files of the artifact, and what people see while the flow runs.

`funnel.parquet` has what became of everything, by origin, language, round and reason;
`measures.parquet` what was counted on the way, by origin and language. Both hold integers, so that
they are the same in whatever order the work was done.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.progress import Progress
from polylm_core.stages.instruct import language_check
from polylm_core.stages.instruct.filters import TASKS_MASKED
from polylm_core.stages.instruct.selection import Funnel

FUNNEL_SCHEMA = pa.schema(
    [
        ("origin", pa.string()),
        ("language", pa.string()),
        ("round", pa.int64()),
        ("reason", pa.string()),
        ("count", pa.int64()),
    ]
)
MEASURES_SCHEMA = pa.schema(
    [
        ("origin", pa.string()),
        ("language", pa.string()),
        ("measure", pa.string()),
        ("count", pa.int64()),
    ]
)


def write(folder: Path, funnel: Funnel) -> None:
    """Write both files; what came to nothing has no row."""
    ends = [(*key, count) for key, count in sorted(funnel.counts.items()) if count]
    measures = [(*key, count) for key, count in sorted(funnel.measures.items()) if count]
    for name, rows, schema in (
        ("funnel.parquet", ends, FUNNEL_SCHEMA),
        ("measures.parquet", measures, MEASURES_SCHEMA),
    ):
        named = [dict(zip(schema.names, row, strict=True)) for row in rows]
        table = pa.Table.from_pylist(named, schema=schema)
        pq.write_table(table, folder / name, compression="zstd", compression_level=9)


def show(funnel: Funnel, progress: Progress) -> None:
    """Publish three tables: by origin; by round, language and reason; and what was measured."""
    totals: Counter[tuple[str, str]] = Counter()
    for (origin, _, _, reason), count in funnel.counts.items():
        totals[origin, reason] += count
    progress.table(
        "instruction-funnel",
        [
            {"origin": origin, "reason": reason, "count": count}
            for (origin, reason), count in sorted(totals.items())
        ],
        "What became of everything that could have been an instruction",
    )
    by_round = rounds(funnel)
    if by_round:
        progress.table(
            "instruction-funnel-by-round", by_round, "What became of a teacher's tasks, by round"
        )
    checked = checks(funnel)
    if checked:
        progress.table(
            "instruction-checks", checked, "What the language check passed, and data masked"
        )


def rounds(funnel: Funnel) -> list[dict[str, Any]]:
    """A row for each round, language and reason, of what is made in rounds."""
    return [
        {"round": number, "language": language, "reason": reason, "count": count}
        for (_, language, number, reason), count in sorted(
            funnel.counts.items(), key=lambda item: (item[0][0], item[0][2], *item[0])
        )
        if number and count
    ]


def checks(funnel: Funnel) -> list[dict[str, Any]]:
    """A row for each origin and language: pass rates by line and word, and data masked."""
    found = funnel.measures
    return [
        {
            "origin": origin,
            "language": language,
            "tasks": found[origin, language, language_check.TASKS],
            "lines passed": _share(
                found[origin, language, language_check.LINES_IN_LANGUAGE],
                found[origin, language, language_check.LINES],
            ),
            "words passed": _share(
                found[origin, language, language_check.WORDS_IN_SCRIPT],
                found[origin, language, language_check.WORDS],
            ),
            "tasks masked": found[origin, language, TASKS_MASKED],
        }
        for origin, language in sorted({key[:2] for key in found})
    ]


def _share(passed: int, judged: int) -> str:
    return f"{passed / judged:.1%}" if judged else "-"
