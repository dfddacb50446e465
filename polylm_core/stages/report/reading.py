"""Tables of artifacts as rows, checked for completeness.

A file or a column that is not there is an error that names the stage to run again: a report with a
silent gap would be believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.artifacts import Artifact
from polylm_core.errors import CorruptArtifactError
from polylm_core.records import list_parts

Row = dict[str, Any]


def missing(artifact: Artifact, name: str, what: str) -> CorruptArtifactError:
    """The error that a file of an artifact lacks something."""
    return CorruptArtifactError(
        f"{artifact.path / name}: {what}, which the report needs; "
        f"run `dvc repro --force {artifact.stage}`"
    )


def read_table(artifact: Artifact, name: str, columns: Sequence[str]) -> pa.Table:
    """Columns of a table or of its parts; raises CorruptArtifactError if one is lacking."""
    path = artifact.path / name
    if not path.exists():
        raise missing(artifact, name, "no such table")
    present = pq.read_schema(list_parts(path)[0]).names
    absent = [column for column in columns if column not in present]
    if absent:
        raise missing(artifact, name, f"no column {', '.join(absent)}")
    return pq.read_table(path, columns=list(columns))


def read_rows(artifact: Artifact, name: str, columns: Sequence[str]) -> list[Row]:
    """The rows of a table that cannot be empty; raises CorruptArtifactError."""
    rows: list[Row] = read_table(artifact, name, columns).to_pylist()
    if not rows:
        raise missing(artifact, name, "no rows")
    return rows
