"""The last step of curate: verdicts carried out, and the shards written.

In: what was prepared and decided. Out: one part of a language's shards: the rows whose keys lie in
one range, in the order of their keys, so that a part is the same however the input was cut.
Training text also loses what the held-out text and the evaluation sets would be found in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from polylm_core import contamination
from polylm_core.contamination import ContaminationIndex
from polylm_core.hashing import NO_HASHES
from polylm_core.languages import ENGLISH
from polylm_core.records import DOCUMENT_SCHEMA, PAIR_SCHEMA, part_file, write_batches, write_table
from polylm_core.restart import read_marker, write_marker
from polylm_core.stages.curate import repeated
from polylm_core.stages.curate.collector import Collector
from polylm_core.stages.curate.decide import (
    COPIES_FILE,
    EXACT,
    NEAR,
    QUALITY,
    RATIO,
    VERDICT_FILE,
    VERDICTS,
    DecideUnit,
)
from polylm_core.stages.curate.ledger import DROP_SCHEMA, Kind, Ledger
from polylm_core.stages.curate.lines import Flags, Lines
from polylm_core.stages.curate.rows import COLUMNS, Rows, concatenated, lines_of
from polylm_core.stages.curate.scratch import Prepared, Setting, list_prepared
from polylm_core.storage import no_space_named, replacing

Split = Literal["train", "held_out"]

PART_BYTES = 32 << 20
"""Text of one part of the shards, about; a worker that writes it needs some ten times as much."""


@dataclass(frozen=True, slots=True)
class FinishUnit:
    """One part of one language's shards."""

    kind: Kind
    language: str
    split: Split
    number: int
    parts: int
    """The keys are cut into so many equal ranges; this is the one of `number`."""
    setting: Setting

    @property
    def out(self) -> Path:
        """The file of the part."""
        folder = self.setting.shards / ("held_out" if self.split == "held_out" else "")
        return part_file(folder / self.kind / self.language, self.number)

    @property
    def marker(self) -> Path:
        """What says that the part is finished."""
        name = f"{self.split}-{self.kind}-{self.language}-{self.number:05d}"
        return self.setting.scratch / f"finished-{name}.json"

    @property
    def drops(self) -> Path:
        """What this step left out of the part."""
        return self.marker.with_suffix(".parquet")


@dataclass(frozen=True, slots=True)
class Finished:
    """What one part holds."""

    rows: int
    bytes: int
    """UTF-8 bytes of the text."""
    ledger: Ledger


def plan_parts(kind: Kind, language: str, split: Split, setting: Setting) -> list[FinishUnit]:
    """The parts of one language, as many as its text needs."""
    size = 0
    for part in list_prepared(setting, kind, language):
        chosen = part.array("held_out") == (split == "held_out")
        size += int(part.array("sizes")[chosen].sum())
    parts = max(1, -(-size // PART_BYTES))
    return [FinishUnit(kind, language, split, number, parts, setting) for number in range(parts)]


def finish(unit: FinishUnit) -> Finished:
    """Write one part, or find it finished."""
    found = read_marker(unit.marker)
    if found is not None:
        return Finished(found["rows"], found["bytes"], Ledger.from_json(found["ledger"]))
    collector = Collector()
    with no_space_named(unit.setting.scratch):
        rows = _read(unit)
        if rows is not None:
            rows = _carried_out(rows, unit, collector)
        files = [unit.drops]
        if unit.kind == "documents" or (rows is not None and len(rows)):
            _write(rows, unit)
            files.append(unit.out)
        drops = collector.sorted_drops(unit.language)
        with replacing(unit.drops) as partial:
            write_table(partial, drops, DROP_SCHEMA)
        done = Finished(
            rows=0 if rows is None else len(rows),
            bytes=0 if rows is None else int(rows.texts.sizes.sum()),
            ledger=collector.ledger,
        )
        content = {"rows": done.rows, "bytes": done.bytes, "ledger": done.ledger.to_json()}
        write_marker(unit.marker, files, content)
    return done


def _read(unit: FinishUnit) -> Rows | None:
    """The rows of the unit's range and split in the order of their keys; none if there are none."""
    width = -(-(2**64) // unit.parts)
    low = np.uint64(unit.number * width)
    high = np.uint64(min((unit.number + 1) * width, 2**64) - 1)
    found = []
    for part in list_prepared(unit.setting, unit.kind, unit.language):
        keys = part.array("keys")
        first = int(np.searchsorted(keys, low, side="left"))
        end = int(np.searchsorted(keys, high, side="right"))
        held = part.array("held_out")[first:end] == (unit.split == "held_out")
        places = first + np.flatnonzero(held)
        if len(places):
            found.append(_with_verdicts(part, places))
    if not found:
        return None
    rows = concatenated(found)
    found.clear()  # a copy of the part less
    return rows.take(np.argsort(rows.keys, kind="stable"))


def _with_verdicts(part: Prepared, places: Any) -> Rows:
    verdict = np.load(part.folder / VERDICT_FILE, mmap_mode="r")[places]
    copies = np.load(part.folder / COPIES_FILE, mmap_mode="r")[places]
    return part.rows(places).knowing(verdict=np.asarray(verdict), copies=np.asarray(copies))


def _carried_out(rows: Rows, unit: FinishUnit, collector: Collector) -> Rows:
    asked = (RATIO, EXACT) if unit.kind == "pairs" else (QUALITY, EXACT, NEAR)
    for code, filter, reason in VERDICTS:
        if code in asked:
            verdicts = np.where(rows.extra["verdict"] == code, 0, -1)
            rows = collector.keep(rows, filter, verdicts, (reason,))
    if unit.kind == "documents":
        rows = _without_repeated(rows, unit, collector)
    if unit.split == "train":
        rows = _without_contaminated(rows, unit, collector)
    return rows


def _without_repeated(rows: Rows, unit: FinishUnit, collector: Collector) -> Rows:
    file = DecideUnit(unit.kind, unit.language, unit.setting).repeated_lines
    if unit.setting.config.repeated_lines is None:
        return rows
    hashes, keys = NO_HASHES, NO_HASHES
    if file.is_file():
        with np.load(file) as arrays:
            hashes, keys = arrays["hashes"], arrays["keys"]
    lines = Lines(rows.texts)
    flags = repeated.repeated_flags(lines, rows, hashes, keys)
    return _without(rows, lines, flags, collector, (repeated.FILTER, repeated.REASON))


def _without_contaminated(rows: Rows, unit: FinishUnit, collector: Collector) -> Rows:
    own = load_index(unit.setting, unit.language)
    flags = own.contaminated(rows.texts)
    if unit.kind == "documents":
        place = (contamination.FILTER, contamination.REASON)
        return _without(rows, Lines(rows.texts), flags, collector, place)
    english = load_index(unit.setting, ENGLISH).contaminated(rows.texts)
    contaminated = english[0::2] | flags[1::2]
    verdicts = np.where(contaminated, 0, -1)
    return collector.keep(rows, contamination.FILTER, verdicts, (contamination.REASON,))


def _without(
    rows: Rows, lines: Lines, flags: Flags, collector: Collector, place: tuple[str, str]
) -> Rows:
    """The rows without the flagged lines, and without those of which nothing stays."""
    where = (lines.documents[flags], lines.starts[flags], lines.ends[flags])
    collector.ledger.record_dropped(lines_of(rows, *where, rows.texts), *place)
    before, rows = rows.texts.sizes, rows.with_texts(lines.without(flags))
    empty = np.where(rows.texts.sizes == 0, 0, -1)
    return collector.keep(rows, place[0], empty, (place[1],), before)


def index_file(setting: Setting, language: str) -> Path:
    """Where the contamination index of a language lies."""
    return setting.scratch / f"index-{language}.npz"


def load_index(setting: Setting, language: str) -> ContaminationIndex:
    """The contamination index of a language."""
    return ContaminationIndex.load(language, index_file(setting, language))


def _write(rows: Rows | None, unit: FinishUnit) -> None:
    """Write a part of documents or pairs; one without rows has a table without rows."""
    schema = PAIR_SCHEMA if unit.kind == "pairs" else DOCUMENT_SCHEMA
    table = schema.empty_table() if rows is None else _table(rows, schema)
    unit.out.parent.mkdir(parents=True, exist_ok=True)
    # Outside the folder of shards, where what a killed unit leaves would be published.
    with replacing(unit.out, unit.setting.scratch) as partial:
        write_batches(partial, table)


def _table(rows: Rows, schema: pa.Schema) -> pa.Table:
    columns: dict[str, Any] = {name: rows.columns.column(name) for name in COLUMNS}
    texts = rows.texts.to_arrow().cast(pa.string())
    if rows.kind == "pairs":
        sides = [text.split("\n") for text in texts.to_pylist()]
        columns |= {
            "language_a": pa.array([ENGLISH] * len(rows), pa.string()),
            "text_a": pa.array([a for a, _ in sides], pa.string()),
            "language_b": pa.array([rows.language] * len(rows), pa.string()),
            "text_b": pa.array([b for _, b in sides], pa.string()),
        }
    else:
        columns |= {
            "text": texts,
            "language": pa.array([rows.language] * len(rows), pa.string()),
            "copies": pa.array(rows.extra["copies"].astype(np.int64)),
        }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)
