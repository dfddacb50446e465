"""Before the first step of curate: the lines of the English documents, as hashes.

A line of another language that equals one of them was left untranslated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polylm_core.hashing import NO_HASHES, Hashes
from polylm_core.languages import ENGLISH
from polylm_core.records import DOCUMENT_SCHEMA, read_batches
from polylm_core.restart import read_marker, write_marker
from polylm_core.stages.curate.lines import Lines
from polylm_core.stages.curate.models import documents_in
from polylm_core.stages.curate.scratch import Setting, save_array


@dataclass(frozen=True, slots=True)
class SurveyUnit:
    """One part of the input."""

    number: int
    part: Path
    setting: Setting

    @property
    def lines(self) -> Path:
        """Where the hashes of the part's lines are written."""
        return self.setting.scratch / f"english-lines-{self.number:06d}.npy"


def survey(unit: SurveyUnit) -> Path:
    """Write the hashes of the repaired English lines with enough letters, sorted, each once."""
    marker = unit.lines.with_suffix(".json")
    if read_marker(marker) is None:
        save_array(unit.lines, _hashes(unit))
        write_marker(marker, [unit.lines], {})
    return unit.lines


def merge_lines(files: Sequence[Path], out: Path) -> None:
    """Put the hashes of all parts together: sorted, each once."""
    sizes = [len(np.load(file, mmap_mode="r")) for file in files]
    merged = np.empty(sum(sizes), np.uint64)
    ends = np.cumsum(sizes, dtype=np.int64)
    for file, size, end in zip(files, sizes, ends, strict=True):
        merged[end - size : end] = np.load(file)
    merged.sort()
    is_new = np.ones(len(merged), np.bool_)
    is_new[1:] = merged[1:] != merged[:-1]
    save_array(out, merged[is_new])


def _hashes(unit: SurveyUnit) -> Hashes:
    config = unit.setting.config
    found = [NO_HASHES]
    for batch in read_batches(unit.part, DOCUMENT_SCHEMA):
        lines = Lines(documents_in(ENGLISH, batch, unit.setting).texts)
        found.append(lines.hashes[lines.letters >= (config.min_copied_letters or 0)])
    return np.unique(np.concatenate(found))
