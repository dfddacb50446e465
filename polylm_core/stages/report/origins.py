"""What was made of what: fingerprints, parameters and file hashes, as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from polylm_core.stages.report import words
from polylm_core.stages.report.blocks import Table
from polylm_core.stages.report.reading import Row

SHOWN_DIGITS = 12
MODELS = ("pretrain", "finetune")
"""Stages whose files leave the house, and so are listed with their sha256."""
RECIPE_WIDE = ("seed", "languages")
"""Parameters that every manifest repeats."""


@dataclass(frozen=True)
class Origin:
    """One artifact in full: what its manifest says of where it is from."""

    folder: str
    stage: str
    fingerprint: str
    params: str
    """As YAML."""
    files: Table | None
    """Name, size and sha256 of each file; of the models only, the fingerprint covers the rest."""


def table(rows: Sequence[Row]) -> Table:
    """What was made of what, in one table."""
    cells = []
    for row in rows:
        inputs: list[tuple[str, Any]] = row["inputs"]
        made_of = ", ".join(f"{stage} {seen[:SHOWN_DIGITS]}" for stage, seen in inputs)
        cells.append(
            (
                row["folder"],
                row["stage"],
                row["fingerprint"][:SHOWN_DIGITS],
                made_of or words.NOTHING,
                words.count(len(row["files"])),
                words.size(row["bytes"]),
            )
        )
    names = ("Artifact", "Made by stage", "Fingerprint", "Made of", "Files", "Size")
    return Table(names, cells, left=(0, 1, 2, 3))


def origins(rows: Sequence[Row]) -> list[Origin]:
    """Each artifact with its parameters, and the models with the hashes of their files."""
    found = []
    for row in rows:
        params = {key: value for key, value in row["params"].items() if key not in RECIPE_WIDE}
        files = [(name, words.size(size), sha256) for name, size, sha256 in row["files"]]
        found.append(
            Origin(
                folder=row["folder"],
                stage=row["stage"],
                fingerprint=row["fingerprint"],
                params=yaml.safe_dump(params, sort_keys=True, allow_unicode=True) if params else "",
                files=Table(("File", "Size", "sha256"), files, left=(0, 2))
                if row["stage"] in MODELS
                else None,
            )
        )
    return found
