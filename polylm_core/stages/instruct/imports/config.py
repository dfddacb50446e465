"""The `instruct.imports` section of `params.yaml`: each published set by name.

A set is files of rows in one of three forms: `columns` (a row is a task: Alpaca, Dolly, FLAN,
GPTeacher, MultiAlpaca), `oasst` (trees of messages, OpenAssistant) and `sharegpt` (a row is a
conversation). Its name is the origin of its instructions and the beginning of their ids.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from polylm_core.languages import LanguageCode
from polylm_core.pinned_files import PinnedFiles, SourceName
from polylm_core.stages.base import StageConfig

HUB = re.compile(r"hf://datasets/(?P<name>[\w.-]+(/[\w.-]+)?)@(?P<commit>[0-9a-f]{40})")
READABLE = (".json", ".jsonl", ".parquet", ".csv", ".tsv")
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")


def plain_name(name: str) -> str:
    """The name of a file without the ending of its compression."""
    return next((name.removesuffix(end) for end in COMPRESSED if name.endswith(end)), name)


class RowFilter(StageConfig):
    """Rows that are taken, or left out, by what one of their columns says."""

    column: str = Field(min_length=1)
    matches: str
    """A regular expression that is searched for in the column; null counts as empty."""
    keep: bool = True
    """Whether the rows that match are taken and the others left out, or the other way round."""

    @field_validator("matches")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"no regular expression ({error})") from error
        return pattern


class ImportedSet(PinnedFiles, StageConfig):
    """What every published set declares."""

    license: str = Field(min_length=1)
    """Written beside each of its instructions."""
    uri: str | None = None
    """Folder of the files: `hf://datasets/<name>@<commit>`, `https://...`, `s3://...`. A place in
    the profile (`source_locations`), or a folder `data/00_sources/<set>`, goes before it."""
    fetch: str | None = None
    """Command that makes the files where no `uri` has them; told when they are missing."""
    where: tuple[RowFilter, ...] = ()
    """Rows that are taken: all of these have to hold."""
    expected_items: int | None = Field(default=None, ge=1)
    """Tasks or conversations as published, after `where`; another number is said, and is in the
    manifest."""
    max_items: int | None = Field(default=None, ge=1)
    """Take so many at most, drawn by the recipe's seed."""
    max_broken_share: float = Field(default=0.01, ge=0, le=1)
    """Rows that may be broken (each is counted); with more of them the stage fails."""

    @field_validator("uri")
    @classmethod
    def _is_an_address(cls, uri: str | None) -> str | None:
        if uri is not None and "://" not in uri:
            raise ValueError("no address; name a folder in the profile's `source_locations`")
        if uri is not None and uri.startswith("hf://") and not HUB.fullmatch(uri):
            raise ValueError("has to be hf://datasets/<name>@<commit>, the commit in full")
        return uri

    @model_validator(mode="after")
    def _has_readable_files(self) -> Self:
        if not self.files:
            raise ValueError("declare its `files`")
        unknown = [name for name in self.files if not plain_name(name).endswith(READABLE)]
        if unknown:
            raise ValueError(
                f"{unknown[0]}: only {', '.join(READABLE)} are read ({', '.join(COMPRESSED)} too)"
            )
        return self


class LanguageOfRows(StageConfig):
    """Which language a row is in; by lid.176, from its answer, where nothing says it."""

    language: LanguageCode | None = None
    """The language of all rows."""
    language_by_file: Mapping[str, LanguageCode] = Field(default_factory=dict)
    """The language of each file."""
    language_column: str | None = None
    """Column of each row's language."""
    languages: Mapping[str, LanguageCode] = Field(default_factory=dict)
    """What labels of a row's language mean; others are FLORES-200 codes or tags such as `pt-BR`,
    and rows with labels of no language of the registry are counted and left out."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = (self.language, self.language_by_file or None, self.language_column)
        if sum(way is not None for way in ways) > 1:
            raise ValueError("declare one of language, language_by_file, language_column")
        return self


class ColumnSet(ImportedSet, LanguageOfRows):
    """Rows of one task each: JSON (an array, or an object a line), Parquet, CSV or TSV.

    A name with points leads into a row: `instances.0.output`.
    """

    format: Literal["columns"]
    """`columns`."""
    instruction: str = "instruction"
    """Column of what is asked."""
    input: str | None = "input"
    """Column of the text it is asked about; null where there is none."""
    output: str = "output"
    """Column of the answer."""
    system: str | None = None
    """Column of a system's message."""
    id: str | None = None
    """Column of an id that is unique in the set; without one the number of the row is the id."""

    @model_validator(mode="after")
    def _every_file_has_a_language(self) -> Self:
        missing = sorted(self.files.keys() - self.language_by_file.keys())
        unknown = sorted(self.language_by_file.keys() - self.files.keys())
        if self.language_by_file and (missing or unknown):
            raise ValueError(f"language_by_file and files differ in {(missing + unknown)[0]}")
        return self


class TreeSet(ImportedSet):
    """OpenAssistant's trees of messages, whole (`*.trees.jsonl.gz`) or message by message."""

    format: Literal["oasst"]
    """`oasst`."""
    conversations: Literal["best-path", "every-answer"] = "best-path"
    """One conversation of a tree, from reply to best-ranked reply; or one for each answer, with all
    that was said before it."""
    tree_states: tuple[str, ...] = ("ready_for_export",)
    """Trees in other states are left out; one that does not say its state is not."""
    languages: Mapping[str, LanguageCode] = Field(default_factory=dict)
    """What labels mean that are neither FLORES-200 codes nor tags such as `pt-BR`."""


class ChatSet(ImportedSet, LanguageOfRows):
    """ShareGPT's conversations: a row has a list of turns, each with who speaks and the text."""

    format: Literal["sharegpt"]
    """`sharegpt`."""
    conversations: str = "conversations"
    """Column of the turns."""
    speaker: str = "from"
    """Who speaks, in a turn: `human` or `user`, `gpt` or `assistant`, `system` at the beginning."""
    text: str = "value"
    """What is said, in a turn."""
    id: str | None = "id"
    """Column of an id that is unique in the set; null makes the number of the row the id."""


AnySet = Annotated[ColumnSet | TreeSet | ChatSet, Field(discriminator="format")]
Imports = Mapping[SourceName, AnySet]
