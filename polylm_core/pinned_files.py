"""Files that a recipe declares: their names, and what pins them, a sha256 each or a version.

Where they lie is the profile's (`source_locations`), or an address of the section that declares
them. Nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
SourceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[^/\s][^\t\n]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class FileList(_Section):
    """A file that lists the files, such as Common Crawl's `wet.paths.gz`."""

    path: FileName
    """The list, below the source's location; a name a line."""
    sha256: Sha256
    """Of the list as it lies there."""
    first: int | None = Field(default=None, ge=1)
    """Take so many files from its start; null for all of them."""


class PinnedFiles(_Section):
    """Files with names: each pinned by its sha256, or all by a version."""

    version: str | None = None
    """Version of the source, such as `20260901` or `CC-MAIN-2026-30`; needed where a file has no
    sha256."""
    files: Mapping[FileName, Sha256 | None] = Field(default_factory=dict)
    """The files below the source's location with their sha256 (`sha256sum FILE`), or null where
    the version has to do."""

    @model_validator(mode="after")
    def _pinned(self) -> PinnedFiles:
        unpinned = [name for name, sha256 in self.files.items() if sha256 is None]
        if unpinned and self.version is None:
            raise ValueError(f"{unpinned[0]} has no sha256 of its files: declare the `version`")
        return self
