"""A package: a folder of aligned text whose `source.yaml` declares every file.

In: `<source>/source.yaml` with the sha256 and the lines of every file, `keys.txt.xz`
(a line: document, tab, unit), `<language>.txt.xz` aligned with it line by line (an empty line: the
unit is missing in that language), or `<language>.parquet` (columns id and text) for text that is
aligned with nothing. Out: documents and pairs with English, line by line. What finds an id that
comes again takes 70 to 115 bytes for each document of aligned text and each row of a table (a set
of 64-bit hashes); nothing else grows with the input.
Whatever is not as declared is a SourceError that names the file, because a silently shorter source
would give a silently different model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polylm_core.errors import SourceError
from polylm_core.languages import ENGLISH, load_languages
from polylm_core.lines import BrokenFileError, Decompressed, iter_lines, read_table
from polylm_core.records import Document, Pair
from polylm_core.stages.ingest.job import IDENTICAL, Job
from polylm_core.storage import fingerprint, sha256_file
from polylm_core.yaml_files import describe_validation, read_yaml

KEYS = "keys.txt.xz"
ALIGNED = ".txt.xz"
TABLE = ".parquet"


class DeclaredFile(BaseModel):
    """One file as `source.yaml` declares it."""

    model_config = ConfigDict(frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    lines: int = Field(ge=0)
    """Lines of a text, rows of a Parquet file."""


class Declaration(BaseModel):
    """The part of `source.yaml` that ingest needs; the rest is for people."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1, pattern=r"^[^/#\s]+$")
    licence: str = Field(min_length=1)
    files: dict[str, DeclaredFile] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Package:
    """A source whose files are the declared ones, byte for byte."""

    folder: Path
    declaration: Declaration
    fingerprint: str
    """Identity of the declaration, and by its sha256 of every file."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages it has text in, sorted."""
        files = self.declaration.files.keys() - {KEYS}
        return tuple(sorted({_language_of(name) for name in files}))

    def has(self, language: str, kind: str) -> bool:
        """Whether it has an `ALIGNED` or a `TABLE` file of a language."""
        return f"{language}{kind}" in self.declaration.files


def open_package(name: str, folder: Path) -> Package:
    """Read the declaration of a source and verify its files; raises SourceError."""
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such source; put it there, or take it out of the params")
    content = _read_declaration(folder / "source.yaml")
    try:
        declaration = Declaration.model_validate(content)
    except ValidationError as error:
        problems = describe_validation(str(folder / "source.yaml"), error)
        raise SourceError(str(problems)) from error
    if declaration.name != name:
        raise SourceError(
            f"{folder / 'source.yaml'}: name is {declaration.name!r}, but the recipe calls it "
            f"{name!r}; make them the same"
        )
    _verify(folder, declaration)
    return Package(folder, declaration, fingerprint(content))


def _read_declaration(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise SourceError(f"{path}: missing; a source declares its licence and its files there")
    try:
        content = read_yaml(path)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: not YAML ({error}); correct it") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path}: expected a mapping (got {content!r}); correct it")
    return content


def _verify(folder: Path, declaration: Declaration) -> None:
    has_aligned = any(name.endswith(ALIGNED) and name != KEYS for name in declaration.files)
    if has_aligned and KEYS not in declaration.files:
        raise SourceError(f"{folder / 'source.yaml'}: declares aligned text but no {KEYS}; add it")
    if set(declaration.files) <= {KEYS}:
        raise SourceError(f"{folder / 'source.yaml'}: declares no text; add a file or drop it")
    for name, declared in declaration.files.items():
        path = folder / name
        if name != KEYS and _language_of(name) not in load_languages():
            raise SourceError(
                f"{path}: files are named <language>{ALIGNED} or <language>{TABLE} with a code "
                "such as por_Latn; rename it"
            )
        if not path.is_file():
            raise SourceError(f"{path}: missing, though source.yaml declares it; fetch it again")
        seen = sha256_file(path)
        if seen != declared.sha256:
            raise SourceError(
                f"{path}: sha256 is {seen}, source.yaml declares {declared.sha256}; "
                "fetch the file again, or correct the declaration"
            )


def _language_of(name: str) -> str:
    return name.removesuffix(ALIGNED).removesuffix(TABLE)


def read_package(
    job: Job, package: Package, language: str, *, documents: bool, pairs: bool
) -> Iterator[Document | Pair]:
    """Yield what a package has of one language: its documents, its pairs with English, or both."""
    if package.has(language, ALIGNED):
        yield from _read_aligned(job, package, language, documents=documents, pairs=pairs)
    if documents and package.has(language, TABLE):
        for key, text in _read_rows(package, language):
            if text.strip():
                yield _document(job, language, key, text)


def _read_aligned(
    job: Job, package: Package, language: str, *, documents: bool, pairs: bool
) -> Iterator[Document | Pair]:
    names = [KEYS, f"{language}{ALIGNED}"]
    if pairs and package.has(ENGLISH, ALIGNED):
        names.append(f"{ENGLISH}{ALIGNED}")
    readers = [_Lines(package, name) for name in names]
    current, paragraphs = "", list[str]()
    for document, unit, line, english in _rows(package, readers):
        if document != current and paragraphs:
            yield _document(job, language, current, "\n".join(paragraphs))
            paragraphs = []
        current = document
        if documents and line.strip():
            paragraphs.append(line)
        if line.strip() and english.strip():
            if line == english:
                job.pair_drops[IDENTICAL] += 1
            else:
                yield _pair(job, language, f"{document}#{unit}", english, line)
    if paragraphs:
        yield _document(job, language, current, "\n".join(paragraphs))
    for reader in readers:
        reader.check(readers[0].seen)


def _rows(package: Package, readers: list[_Lines]) -> Iterator[tuple[str, str, str, str]]:
    """Yield document, unit, line and English line (empty where it is not read)."""
    path = package.folder / KEYS
    seen: set[int] = set()
    current = ""
    aligned = zip_longest(*readers, fillvalue="")
    for number, (key, line, *english) in enumerate(aligned, start=1):
        document, _, unit = key.partition("\t")
        if readers[0].seen < number:
            continue  # keys have ended: told when all lines are counted
        if not document or not unit:
            raise SourceError(
                f"{path}: line {number} is not <document><tab><unit> (got {key!r}); correct it"
            )
        if document != current:
            if key_hash(document) in seen:
                raise SourceError(
                    f"{path}: line {number} goes back to document {document!r}; "
                    "put the lines of a document together"
                )
            seen.add(key_hash(document))
            current = document
        yield document, unit, line, english[0] if english else ""


def key_hash(key: str) -> int:
    """64 bits of a key, the same in every process."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest())


def _document(job: Job, language: str, key: str, text: str) -> Document:
    return Document(
        id=f"{job.source}/{language}/{key}",
        text=text,
        language=language,
        source=job.source,
        license=job.license,
    )


def _pair(job: Job, language: str, key: str, english: str, text: str) -> Pair:
    return Pair(
        id=f"{job.source}/{ENGLISH}-{language}/{key}",
        language_a=ENGLISH,
        text_a=english,
        language_b=language,
        text_b=text,
        source=job.source,
        license=job.license,
    )


def _read_rows(package: Package, language: str) -> Iterator[tuple[str, str]]:
    """Id and text of each row of a table."""
    name = f"{language}{TABLE}"
    path = package.folder / name
    seen: set[int] = set()
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as table:
            for batch in read_table(table, path, 1024, ["id", "text"]):
                columns = (batch.column(column).cast(pa.string()) for column in ("id", "text"))
                ids, texts = (column.to_pylist() for column in columns)
                new = {key_hash(key) for key in ids if key is not None}
                if None in texts or len(new) != len(ids) or new & seen:
                    raise SourceError(
                        f"{path}: an id or a text is null, or an id appears twice; correct it"
                    )
                seen |= new
                yield from zip(ids, texts, strict=True)
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError, BrokenFileError) as error:
        raise SourceError(
            f"{path}: not a readable Parquet file with columns id and text ({error}); "
            "fetch or write it again"
        ) from error
    _check_lines(package, name, len(seen))


class _Lines:
    """The lines of one file, counted."""

    def __init__(self, package: Package, name: str) -> None:
        self.seen = 0
        self._package = package
        self._name = name

    def __iter__(self) -> Iterator[str]:
        path = self._package.folder / self._name
        # By newlines only, as a file in bytes has it: text also splits at U+2028 and the like.
        try:
            with path.open("rb") as file:
                for line in iter_lines(Decompressed(file, path.name)):
                    self.seen += 1
                    if line is None:
                        raise BrokenFileError(f"line {self.seen} is too long for text")
                    yield line.decode("utf-8")
        except BrokenFileError as error:
            raise SourceError(f"{path}: truncated or not xz ({error}); fetch it again") from error
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise SourceError(
                f"{path}: line {self.seen} is not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8"
            ) from error

    def check(self, num_keys: int) -> None:
        """Raise SourceError unless there was a line for every key, and as many as declared."""
        _check_lines(self._package, self._name, self.seen)
        if self.seen != num_keys:
            raise SourceError(
                f"{self._package.folder / self._name}: {self.seen} lines, but {KEYS} has "
                f"{num_keys}; aligned files have a line for every key"
            )


def _check_lines(package: Package, name: str, seen: int) -> None:
    declared = package.declaration.files[name].lines
    if seen == 0:
        raise SourceError(f"{package.folder / name}: empty; fetch it again or take it out")
    if seen != declared:
        raise SourceError(
            f"{package.folder / name}: {seen} lines, source.yaml declares {declared}; "
            "fetch the file again, or correct the declaration"
        )
