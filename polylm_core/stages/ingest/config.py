"""The `ingest` section of `params.yaml`: every source by name, with its licence and what pins it.

Where a source lies is not here but in the profile (`source_locations`), so that the same recipe
gives the same documents from a disk, a bucket or a mirror.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from polylm_core.errors import UnknownLanguageError
from polylm_core.languages import get_language
from polylm_core.stages.base import StageConfig

ENGLISH = "eng_Latn"
"""Side a of every pair."""


def _known(code: str) -> str:
    try:
        get_language(code)
    except UnknownLanguageError as error:
        raise ValueError(str(error)) from error
    return code


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
SourceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[^/][^\s]*$")]


class PackageSource(StageConfig):
    """A folder of lines aligned over languages, or of tables by language.

    Its `source.yaml` has the licence and the sha256 of every file.
    """

    format: Literal["package"]
    """`package`."""


class FileList(StageConfig):
    """A file that lists the files, such as Common Crawl's `wet.paths.gz`."""

    path: FileName
    """The list, below the source's location; a name a line."""
    sha256: Sha256
    """Of the list as it lies there."""
    first: int | None = Field(default=None, ge=1)
    """Take so many files from its start; null for all of them."""


class Declared(StageConfig):
    """What every source has that is not a package."""

    license: str = Field(min_length=1)
    """Written beside each document and pair, such as `CC-BY-SA-4.0`."""
    max_broken_share: float = Field(default=0.1, ge=0, le=1)
    """Records of one file that may be broken (each is counted, some are kept in
    `skipped.parquet`); with more of them the file is broken."""
    max_broken_files: int = Field(default=0, ge=0)
    """Files that may be broken: truncated, not of the format, or with too many broken records.
    Nothing is taken from a broken file. With more of them the stage fails and names one."""


class FileSource(Declared):
    """A source of files with names: each pinned by its sha256, or all by a version."""

    version: str | None = None
    """Version of the source, such as `20260901` or `CC-MAIN-2026-30`; needed where a file has no
    sha256."""
    files: Mapping[FileName, Sha256 | None] = Field(default_factory=dict)
    """The files below the source's location with their sha256 (`sha256sum FILE`), or null where
    the version has to do."""
    file_list: FileList | None = None
    """The files by a list instead, for sources of many thousands of them."""

    @model_validator(mode="after")
    def _pinned(self) -> FileSource:
        if bool(self.files) == (self.file_list is not None):
            raise ValueError("declare either `files` or `file_list`")
        unpinned = [name for name, sha256 in self.files.items() if sha256 is None]
        if self.version is None and (unpinned or self.file_list):
            what = unpinned[0] if unpinned else "a `file_list`"
            raise ValueError(f"{what} has no sha256 of its files: declare the `version`")
        return self


class Columns(StageConfig):
    """Which columns of a row say what."""

    text_column: str = Field(default="text", min_length=1)
    """Column of the text."""
    id_column: str | None = None
    """Column of an id that is unique in the source; without one the text's sha256 is the id."""
    url_column: str | None = None
    """Column of the address the text was found at."""
    language: str | None = None
    """The language of all of it; with neither this nor `language_column`, `curate` finds out."""
    language_column: str | None = None
    """Column of each row's language."""
    languages: Mapping[str, str] = Field(default_factory=dict)
    """What the labels of `language_column` mean, such as `sw: swh_Latn`; rows with other labels are
    passed over. Empty: the labels are FLORES-200 codes."""

    @field_validator("language")
    @classmethod
    def _known_language(cls, code: str | None) -> str | None:
        return code if code is None else _known(code)

    @field_validator("languages")
    @classmethod
    def _known_languages(cls, languages: Mapping[str, str]) -> Mapping[str, str]:
        for code in languages.values():
            _known(code)
        return languages

    @model_validator(mode="after")
    def _one_way(self) -> Columns:
        if self.language is not None and self.language_column is not None:
            raise ValueError("declare `language` or `language_column`, not both")
        if self.languages and self.language_column is None:
            raise ValueError("`languages` needs a `language_column`")
        return self


class JsonlSource(FileSource, Columns):
    """JSON objects, one a line; plain, `.gz`, `.zst`, `.bz2` or `.xz`."""

    format: Literal["jsonl"]
    """`jsonl`."""


class ParquetSource(FileSource, Columns):
    """Parquet files."""

    format: Literal["parquet"]
    """`parquet`."""


class TextSource(FileSource):
    """Plain text in UTF-8; plain, `.gz`, `.zst`, `.bz2` or `.xz`."""

    format: Literal["text"]
    """`text`."""
    document: Literal["file", "block", "line"]
    """What a document is: a file, a block between empty lines, or a line."""
    language: str | None = None
    """The language of all of it; without one `curate` finds out."""

    _known_language = field_validator("language")(lambda code: code and _known(code))


class WetSource(FileSource):
    """Common Crawl's WET files: the text of pages, with their addresses; languages unknown."""

    format: Literal["wet"]
    """`wet`."""


class WarcSource(FileSource):
    """Web archives: the main text of each HTML page, found by trafilatura; languages unknown."""

    format: Literal["warc"]
    """`warc`."""
    favor: Literal["precision", "balance", "recall"] = "precision"
    """What trafilatura prefers: less of the page but surely text (as FineWeb, arXiv 2406.17557),
    or more of it."""


class WikipediaSource(FileSource):
    """Dumps of a wiki (`<wiki>-<date>-pages-articles*.xml.bz2`): the prose of its articles."""

    format: Literal["wikipedia"]
    """`wikipedia`."""
    language: str
    """The language of the wiki."""

    _known_language = field_validator("language")(_known)


class HuggingFaceSource(Declared, Columns):
    """A data set of the Hugging Face hub, or a snapshot of one in a folder; Parquet or JSONL."""

    format: Literal["huggingface"]
    """`huggingface`."""
    dataset: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")
    """Its name, such as `statmt/cc100`."""
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    """The commit, in full."""
    configs: Mapping[str, str | None] = Field(default_factory=lambda: {"default": None})
    """Its configurations with the language of each; null where `language`, a column or `curate`
    says it."""
    split: str = "train"
    """Which split is read."""

    @field_validator("configs")
    @classmethod
    def _known_configs(cls, configs: Mapping[str, str | None]) -> Mapping[str, str | None]:
        for code in filter(None, configs.values()):
            _known(code)
        return configs


class PairSource(FileSource):
    """A source of sentence pairs with English."""

    languages: tuple[str, str]
    """Languages of the two sides, in the order of the files; one is `eng_Latn`."""

    @field_validator("languages")
    @classmethod
    def _with_english(cls, languages: tuple[str, str]) -> tuple[str, str]:
        for code in languages:
            _known(code)
        if languages.count(ENGLISH) != 1:
            raise ValueError(f"one of the two languages is {ENGLISH}")
        return languages

    @property
    def other(self) -> str:
        """The language that is not English."""
        return next(code for code in self.languages if code != ENGLISH)


class MosesSource(PairSource):
    """OPUS' Moses files: line *i* of `<name>.<a>` and of `<name>.<b>` are a pair.

    A `.zip` with both in it, or two files, plain or `.gz`.
    """

    format: Literal["moses"]
    """`moses`."""
    sides: tuple[str, str]
    """The endings of the files, in the order of `languages`, such as `[en, sw]`."""


class TmxSource(PairSource):
    """TMX translation memories, plain or `.gz`."""

    format: Literal["tmx"]
    """`tmx`."""
    sides: tuple[str, str]
    """The `xml:lang` of the sides, in the order of `languages`, such as `[en, sw]`."""


class TsvSource(PairSource):
    """Lines with a text a column, separated by tabs, without quoting; plain, `.gz`, `.zst`..."""

    format: Literal["tsv"]
    """`tsv`."""
    columns: tuple[int, int] = (0, 1)
    """Which columns the two sides are in, counted from 0, in the order of `languages`."""


Source = Annotated[
    PackageSource
    | JsonlSource
    | ParquetSource
    | TextSource
    | WetSource
    | WarcSource
    | WikipediaSource
    | HuggingFaceSource
    | MosesSource
    | TmxSource
    | TsvSource,
    Field(discriminator="format"),
]


class IngestConfig(StageConfig):
    """Which sources are read, and which languages are paired with English."""

    sources: Mapping[SourceName, Source] = Field(min_length=1)
    """The sources by name. Profiles say where each lies (`source_locations`)."""
    pair_languages: tuple[str, ...] | None = None
    """Languages paired with English from the packages: a list, or null for every language they
    have."""

    def document_languages(self) -> set[str] | None:
        """Languages that the sources but packages declare; none if one leaves it to `curate`."""
        found: set[str | None] = set()
        for source in self.sources.values():
            found |= declared_languages(source)
        return None if None in found else {code for code in found if code is not None}


def declared_languages(source: Source) -> set[str | None]:
    """Languages a source declares for its documents; none stands for any."""
    if isinstance(source, PackageSource | PairSource):
        return set()
    if isinstance(source, HuggingFaceSource):
        by_column: set[str | None] = {*source.languages.values()} or {None}
        rest = by_column if source.language_column else {source.language}
        return {code for each in source.configs.values() for code in ({each} if each else rest)}
    if isinstance(source, JsonlSource | ParquetSource) and source.language_column:
        return {*source.languages.values()} or {None}
    return {getattr(source, "language", None)}
