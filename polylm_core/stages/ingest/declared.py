"""What the sources of several formats declare alike: licence, files, columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from polylm_core.languages import LanguageCode
from polylm_core.pinned_files import FileList, PinnedFiles
from polylm_core.stages.base import StageConfig


class Declared(StageConfig):
    """What every source has that is not a package."""

    license: str = Field(min_length=1)
    """Written beside each document and pair, such as `CC-BY-SA-4.0`."""
    purpose: Literal["train", "evaluate"] = "train"
    """An evaluation set is never trained on, and `curate` removes what training text shares with
    it."""
    max_broken_share: float = Field(default=0.1, ge=0, le=1)
    """Records of one file that may be broken (each is counted, some are kept in
    `skipped.parquet`); with more of them the file is broken. A file that is one document is one
    record."""
    max_broken_files: int = Field(default=0, ge=0)
    """Files that may be broken: truncated, not of the format, or with too many broken records.
    Nothing is taken from a broken file; the two sides of `moses` are one. With more of them the
    stage fails and names one."""


class FileSource(Declared, PinnedFiles):
    """A source of files with names: each pinned by its sha256, or all by a version."""

    file_list: FileList | None = None
    """The files by a list instead, for sources of many thousands of them."""

    @model_validator(mode="after")
    def _one_kind_of_files(self) -> FileSource:
        if bool(self.files) == (self.file_list is not None):
            raise ValueError("declare either `files` or `file_list`")
        if self.file_list and self.version is None:
            raise ValueError("a `file_list` has no sha256 of its files: declare the `version`")
        return self


class Columns(StageConfig):
    """Which columns of a row say what."""

    text_column: str = Field(default="text", min_length=1)
    """Column of the text."""
    id_column: str | None = None
    """Column of an id that is unique in the source; without one the text's sha256 is the id."""
    url_column: str | None = None
    """Column of the address the text was found at."""
    language: LanguageCode | None = None
    """The language of all of it; with neither this nor `language_column`, `curate` finds out."""
    language_column: str | None = None
    """Column of each row's language."""
    languages: Mapping[str, LanguageCode] = Field(default_factory=dict)
    """What the labels of `language_column` mean, such as `sw: swh_Latn`; rows with other labels are
    passed over. Empty: the labels are FLORES-200 codes."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Share of the rows that is taken, drawn by the sha256 of their text: the same rows whatever
    the order, and of two shares the smaller one's are among the larger one's."""

    @model_validator(mode="after")
    def _one_way(self) -> Columns:
        if self.language is not None and self.language_column is not None:
            raise ValueError("declare `language` or `language_column`, not both")
        if self.languages and self.language_column is None:
            raise ValueError("`languages` needs a `language_column`")
        return self
