"""What the steps of curate hand to each other: files in the work folder, by language and unit.

A unit that prepared one part of the input writes, for each language in it, `rows.arrow` (the
documents that passed, in the order of their keys) and arrays beside it (`.npy`, a row a document),
which the later steps map into memory and read in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from polylm_core.characters import from_arrow
from polylm_core.records import write_table
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.ledger import DROP_SCHEMA, Drop, Kind
from polylm_core.stages.curate.quality_config import ModelFile
from polylm_core.stages.curate.rows import COLUMNS, Places, Rows
from polylm_core.storage import replacing

ROWS_FILE = "rows.arrow"
DROPS_FILE = "drops.parquet"
BATCH_BYTES = 1 << 20
"""Text of a batch of `rows.arrow`: what a reader of a range of keys reads at least."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Setting:
    """What every unit of curate knows."""

    config: CurateConfig
    seed: int
    languages: tuple[str, ...]
    """The recipe's, in its order."""
    scratch: Path
    """The work folder."""

    def prepared(self, kind: Kind, language: str) -> Path:
        """Where units put what they prepared of a language, each in a folder of its own."""
        return self.scratch / "prepared" / kind / language

    @property
    def shards(self) -> Path:
        """The files of the ShardSet to be."""
        return self.scratch / "shards"

    @property
    def models(self) -> Path:
        """Models that are asked."""
        return self.scratch / "models"

    def model(self, file: ModelFile) -> Path:
        """Where a declared model lies."""
        return self.models / f"{file.sha256}{Path(file.file).suffix}"

    def trained_model(self, language: str) -> Path:
        """Where the model of quality trained for a language lies."""
        return self.models / language

    @property
    def english_lines(self) -> Path:
        """Sorted hashes of all English lines."""
        return self.scratch / "english-lines.npy"


@dataclass(frozen=True)
class Prepared:
    """The documents of one language in one unit, on disk."""

    language: str
    kind: Kind
    folder: Path

    def array(self, name: str) -> Array:
        """One of the arrays, mapped."""
        found: Array = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return found

    def rows(self, places: Places) -> Rows:
        """The documents at some ascending places; only the batches they are in are read."""
        with pa.memory_map(str(self.folder / ROWS_FILE)) as source:
            reader = pa.ipc.open_file(source)
            ends = self.array("batch_ends")
            batch_of = np.searchsorted(ends, places, side="right")
            parts = []
            for number in np.unique(batch_of):
                first = ends[number - 1] if number else 0
                inside = np.asarray(places[batch_of == number]) - first
                parts.append(reader.get_batch(int(number)).take(pa.array(inside)))
            table = pa.Table.from_batches(parts, reader.schema).combine_chunks()
        columns = pa.RecordBatch.from_arrays(
            [table.column(name).combine_chunks() for name in COLUMNS], list(COLUMNS)
        )
        texts = from_arrow(table.column("text"))
        keys = np.asarray(self.array("keys")[places])
        return Rows(self.language, columns, keys, texts, kind=self.kind)


def write_prepared(folder: Path, rows: Rows | None, drops: Sequence[Drop]) -> list[Path]:
    """Write one language of one unit, rows in the order of their keys; returns the files.

    Every file appears whole: a unit that was given up for lost may still be writing the same ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / DROPS_FILE) as partial:
        write_table(partial, drops, DROP_SCHEMA)
    files = [folder / DROPS_FILE]
    return files if rows is None else files + _write_rows(folder, rows)


def save_array(path: Path, array: Array) -> None:
    """Write an array to a `.npy` file that appears whole."""
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, array)


def _write_rows(folder: Path, rows: Rows) -> list[Path]:
    cuts = np.flatnonzero(np.diff(np.cumsum(rows.texts.sizes) // BATCH_BYTES)) + 1
    ends = np.unique([*cuts, len(rows)])
    table = pa.Table.from_batches([rows.columns]).append_column("text", rows.texts.to_arrow())
    out = folder / ROWS_FILE
    with replacing(out) as partial, pa.ipc.new_file(partial, table.schema) as writer:
        first = 0
        for end in ends[ends > 0]:
            writer.write_table(table.slice(first, end - first).combine_chunks())
            first = end
    arrays = {"keys": rows.keys, "sizes": rows.texts.sizes, "batch_ends": ends, **rows.extra}
    if "bands" in arrays:  # read a band at a time
        arrays["bands"] = np.ascontiguousarray(arrays["bands"].T)
    for name, array in arrays.items():
        save_array(folder / f"{name}.npy", array)
    return [out, *(folder / f"{name}.npy" for name in arrays)]


def list_prepared(setting: Setting, kind: Kind, language: str) -> list[Prepared]:
    """Everything prepared in one language, in the order of the units."""
    found = sorted(setting.prepared(kind, language).glob(f"*/{ROWS_FILE}"))
    return [Prepared(language, kind, each.parent) for each in found]


def languages_of(setting: Setting, kind: Kind) -> list[str]:
    """Languages of which anything was looked at."""
    folder = setting.scratch / "prepared" / kind
    return sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []


def prepared_languages(setting: Setting, kind: Kind) -> list[str]:
    """Languages of which anything passed."""
    return [code for code in languages_of(setting, kind) if list_prepared(setting, kind, code)]
