"""The books of curate as files: drops, sums, samples, and the counts of the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.progress import Progress
from polylm_core.records import PART_ROWS, part_file, write_batches, write_table
from polylm_core.stages.curate.finish import Finished, FinishUnit
from polylm_core.stages.curate.ledger import (
    ATTRITION_SCHEMA,
    DROP_SCHEMA,
    FILTER_SCHEMA,
    SAMPLE_SCHEMA,
    Kind,
    Ledger,
)
from polylm_core.stages.curate.scratch import DROPS_FILE, Setting, languages_of

Parts = Sequence[tuple[FinishUnit, Finished]]
Counts = dict[str, dict[str, int]]


def write_books(
    setting: Setting,
    books: Ledger,
    held_out: Parts,
    train: Parts,
    partial: Path,
    progress: Progress,
) -> Counts:
    """Write the books into the ShardSet to be; returns what each language has."""
    kinds: tuple[Kind, ...] = ("documents", "pairs")
    for kind in kinds:
        for language in languages_of(setting, kind):
            units = [unit for unit, _ in (*held_out, *train)]
            drops = _drops(setting, kind, language, units)
            _write_drops(drops, partial / "drops" / kind / language)
    write_table(partial / "attrition.parquet", books.attrition(), ATTRITION_SCHEMA)
    write_table(partial / "filters.parquet", books.passages(), FILTER_SCHEMA)
    write_table(partial / "samples.parquet", books.all_samples(), SAMPLE_SCHEMA)
    counts = _counts(books, held_out, train)
    _tell(progress, books, counts)
    return counts


def _drops(
    setting: Setting, kind: Kind, language: str, units: Sequence[FinishUnit]
) -> Iterator[pa.Table]:
    """Tables of what the units left out of one language."""
    for file in sorted(setting.prepared(kind, language).glob(f"*/{DROPS_FILE}")):
        yield pq.read_table(file, schema=DROP_SCHEMA)
    for unit in units:
        if (unit.kind, unit.language) == (kind, language):
            yield pq.read_table(unit.drops, schema=DROP_SCHEMA)


def _write_drops(tables: Iterator[pa.Table], folder: Path) -> None:
    """Write drops in the order of filter, reason and id: units come in any order."""
    table = pa.concat_tables(list(tables)).combine_chunks()
    table = table.sort_by([(name, "ascending") for name in ("filter", "reason", "id", "bytes")])
    for number, first in enumerate(range(0, max(len(table), 1), PART_ROWS)):
        write_batches(part_file(folder, number), table.slice(first, PART_ROWS))


def _counts(books: Ledger, held_out: Parts, train: Parts) -> Counts:
    """Items and bytes by language: in, kept to train on, and held out."""
    counts: Counts = {}
    for passage in books.passages():
        if passage.filter in ("opt-out", "repair"):
            seen = counts.setdefault(passage.language, {})
            noun = "document" if passage.kind == "documents" else "pair"
            seen.setdefault(f"{noun}s_in", passage.items_in)
            seen.setdefault(f"{noun}_bytes_in", passage.bytes_in)
    for word, parts in (("held_out", held_out), ("kept", train)):
        for unit, done in parts:
            seen = counts.setdefault(unit.language, {})
            noun = "document" if unit.kind == "documents" else "pair"
            for name, number in ((f"{noun}s", done.rows), (f"{noun}_bytes", done.bytes)):
                seen[f"{name}_{word}"] = seen.get(f"{name}_{word}", 0) + number
    return {language: counts[language] for language in sorted(counts)}


def _tell(progress: Progress, books: Ledger, counts: Counts) -> None:
    rows: list[dict[str, Any]] = [{"language": code, **counts[code]} for code in counts]
    progress.table("curate-languages", rows, "What curate kept and held out, by language")
    sums: dict[tuple[str, str, str], list[int]] = {}
    for row in books.attrition():
        place = (row.kind, row.filter, row.reason)
        items, size = sums.get(place, [0, 0])
        sums[place] = [items + row.items, size + row.bytes]
    reasons = [
        {"kind": kind, "filter": filter_, "reason": reason, "items": items, "bytes": size}
        for (kind, filter_, reason), (items, size) in sums.items()
    ]
    progress.table("curate-reasons", reasons, "What curate left out, by reason")
