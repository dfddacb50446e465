"""The second step of curate: what can only be asked of all documents of a language together.

In: what was prepared. Out: beside each part a verdict and the number of copies of every row, and
for each language the lines that too many documents have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polylm_core.restart import read_marker, write_marker
from polylm_core.stages.curate.duplicates import Index, exact_groups, near_groups
from polylm_core.stages.curate.ledger import Kind
from polylm_core.stages.curate.quality import threshold
from polylm_core.stages.curate.repeated import find_repeated
from polylm_core.stages.curate.scratch import Setting, list_prepared, save_array

KEPT, QUALITY, RATIO, EXACT, NEAR = range(5)
VERDICTS = (
    (QUALITY, "quality", "low-quality"),
    (RATIO, "rules", "length-ratio"),
    (EXACT, "exact-duplicates", "duplicate"),
    (NEAR, "near-duplicates", "near-duplicate"),
)
"""Verdicts with their filter and reason, in the order in which they are given."""
VERDICT_FILE = "verdict.npy"
COPIES_FILE = "copies.npy"


@dataclass(frozen=True, slots=True)
class DecideUnit:
    """One language, its documents or its pairs."""

    kind: Kind
    language: str
    setting: Setting

    @property
    def repeated_lines(self) -> Path:
        """Where the lines are written that too many documents have."""
        return self.setting.scratch / f"repeated-{self.language}.npz"


def decide(unit: DecideUnit) -> None:
    """Decide about all rows of one language, or find it done."""
    setting, config = unit.setting, unit.setting.config
    marker = setting.scratch / f"decided-{unit.kind}-{unit.language}.json"
    if read_marker(marker) is not None:
        return
    index = Index.of(list_prepared(setting, unit.kind, unit.language))
    files: list[Path] = []
    if index.parts:
        verdicts, copies = _judge(unit, index)
        for part, first, end in zip(index.parts, index.firsts, index.firsts[1:], strict=False):
            for name, array in ((VERDICT_FILE, verdicts), (COPIES_FILE, copies)):
                save_array(part.folder / name, array[first:end])
                files.append(part.folder / name)
        if unit.kind == "documents" and config.repeated_lines is not None:
            find_repeated(index, verdicts == KEPT, config.repeated_lines, unit.repeated_lines)
            files.append(unit.repeated_lines)
    write_marker(marker, files, {})


def _cut_by_quality(unit: DecideUnit, index: Index, verdicts: npt.NDArray[np.uint8]) -> None:
    config = unit.setting.config.quality.by_language.get(unit.language)
    if config is not None:
        scores = index.array("quality")
        judged = scores[scores < np.inf]
        verdicts[scores < threshold(judged, config.drop_share)] = QUALITY


def _judge(unit: DecideUnit, index: Index) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    verdicts = np.full(len(index.keys), KEPT, np.uint8)
    if unit.kind == "pairs":
        # Chinese takes a third of the characters of English, Spanish more than English: what is
        # unusual is told from the language's own median.
        limits = unit.setting.config.pairs
        ratio = index.array("ratio")
        relative = ratio / np.median(ratio)
        is_odd = np.maximum(relative, 1 / relative) > limits.max_length_ratio
        verdicts[is_odd & (index.array("longest") > limits.min_judged_characters)] = RATIO
    else:
        _cut_by_quality(unit, index, verdicts)
    numbers = np.arange(len(index.keys))
    stays = exact_groups(index, verdicts == KEPT)
    verdicts[(stays != numbers) & (verdicts == KEPT)] = EXACT
    if unit.kind == "documents":
        stays = near_groups(index, stays, verdicts == KEPT, unit.setting.config.near_duplicates)
        verdicts[(stays != numbers) & (verdicts == KEPT)] = NEAR
    return verdicts, np.bincount(stays, minlength=len(numbers)).astype(np.int32)
