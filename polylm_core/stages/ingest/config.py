"""The `ingest` section of `params.yaml`: every source by name, with its licence and what pins it.

Where a source lies is not here but in the profile (`source_locations`), so that the same recipe
gives the same documents from a disk, a bucket or a mirror.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator

from polylm_core.languages import ENGLISH, LanguageCode
from polylm_core.pinned_files import SourceName
from polylm_core.stages.base import StageConfig
from polylm_core.stages.ingest.declared import Columns, Declared, FileSource


class PackageSource(StageConfig):
    """A folder of lines aligned over languages, or of tables by language.

    Its `source.yaml` has the licence and the sha256 of every file.
    """

    format: Literal["package"]
    """`package`."""


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
    language: LanguageCode | None = None
    """The language of all of it; without one `curate` finds out."""


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
    language: LanguageCode
    """The language of the wiki."""


class HuggingFaceSource(Declared, Columns):
    """A data set of the Hugging Face hub, or a snapshot of one in a folder; Parquet or JSONL."""

    format: Literal["huggingface"]
    """`huggingface`."""
    dataset: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")
    """Its name, such as `statmt/cc100`."""
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    """The commit, in full."""
    configs: Mapping[str, LanguageCode | None] = Field(default_factory=lambda: {"default": None})
    """Its configurations with the language of each; null where `language`, a column or `curate`
    says it."""
    split: str = "train"
    """Which split is read."""
    first: int | None = Field(default=None, ge=1)
    """Take so many files of each configuration, by name; null for all of them."""


class PairSource(FileSource):
    """A source of sentence pairs with English."""

    languages: tuple[LanguageCode, LanguageCode]
    """Languages of the two sides, in the order of the files; one is `eng_Latn`."""

    @field_validator("languages")
    @classmethod
    def _with_english(cls, languages: tuple[str, str]) -> tuple[str, str]:
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
            if not is_evaluation(source):
                found |= declared_languages(source)
        return None if None in found else {code for code in found if code is not None}


def is_evaluation(source: object) -> bool:
    """Whether a source is only there to be evaluated on."""
    return isinstance(source, Declared) and source.purpose == "evaluate"


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
