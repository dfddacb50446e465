"""A raw source on disk: its declaration, and its files read and checked.

In: `<source>/source.yaml` with the sha256 and the lines of every file, `keys.txt.xz`
(a line: document, tab, unit), `<language>.txt.xz` aligned with it line by line (an empty line: the
unit is missing in that language), or `<language>.parquet` (columns id and text) for text that is
aligned with nothing. Out: keys and lines. Whatever is not as declared is a SourceError that names
the file, because a silently shorter source would give a silently different model.
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polylm_core.errors import SourceError
from polylm_core.languages import load_languages
from polylm_core.settings import describe_validation
from polylm_core.storage import fingerprint, sha256_file

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
class Source:
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


def open_source(folder: Path) -> Source:
    """Read the declaration of a source and verify its files; raises SourceError."""
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such source; put it there, or take it out of the params")
    content = _read_declaration(folder / "source.yaml")
    try:
        declaration = Declaration.model_validate(content)
    except ValidationError as error:
        problems = describe_validation(str(folder / "source.yaml"), error)
        raise SourceError(str(problems)) from error
    if declaration.name != folder.name:
        raise SourceError(
            f"{folder / 'source.yaml'}: name is {declaration.name!r}, the folder {folder.name!r}; "
            "make them the same"
        )
    _verify(folder, declaration)
    return Source(folder, declaration, fingerprint(content))


def _read_declaration(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise SourceError(f"{path}: missing; a source declares its licence and its files there")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
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


def read_keys(source: Source) -> list[tuple[str, str]]:
    """Document and unit of each line; the lines of a document are consecutive."""
    path = source.folder / KEYS
    keys: list[tuple[str, str]] = []
    seen: set[str] = set()
    current = ""
    for number, line in enumerate(_read_lines(source, KEYS), start=1):
        document, _, unit = line.partition("\t")
        if not document or not unit:
            raise SourceError(
                f"{path}: line {number} is not <document><tab><unit> (got {line!r}); correct it"
            )
        if document != current and document in seen:
            raise SourceError(
                f"{path}: line {number} goes back to document {document!r}; "
                "put the lines of a document together"
            )
        seen.add(document)
        current = document
        keys.append((document, unit))
    return keys


def read_aligned(source: Source, language: str, num_keys: int) -> list[str]:
    """The lines of one language, as many as there are keys."""
    name = f"{language}{ALIGNED}"
    lines = _read_lines(source, name)
    if len(lines) != num_keys:
        raise SourceError(
            f"{source.folder / name}: {len(lines)} lines, but {KEYS} has {num_keys}; "
            "aligned files have a line for every key"
        )
    return lines


def read_rows(source: Source, language: str) -> list[tuple[str, str]]:
    """Id and text of each row of a Parquet file."""
    name = f"{language}{TABLE}"
    path = source.folder / name
    try:
        table = pq.read_table(path, columns=["id", "text"])
        ids, texts = (
            table.column(column).cast(pa.string()).to_pylist() for column in ("id", "text")
        )
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{path}: not a readable Parquet file with columns id and text ({error}); "
            "fetch or write it again"
        ) from error
    _check_lines(source, name, len(ids))
    if None in ids or None in texts or len(set(ids)) != len(ids):
        raise SourceError(f"{path}: an id or a text is null, or an id appears twice; correct it")
    return list(zip(ids, texts, strict=True))


def _read_lines(source: Source, name: str) -> list[str]:
    path = source.folder / name
    try:
        with lzma.open(path, "rb") as file:
            content = file.read()
    except (lzma.LZMAError, EOFError) as error:
        raise SourceError(f"{path}: truncated or not xz ({error}); fetch it again") from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise SourceError(
            f"{path}: line {line} is not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8"
        ) from error
    # Not splitlines(): it would also split at U+2028 and the like, inside a unit.
    lines = text.removesuffix("\n").split("\n") if text else []
    _check_lines(source, name, len(lines))
    return lines


def _check_lines(source: Source, name: str, seen: int) -> None:
    declared = source.declaration.files[name].lines
    if seen == 0:
        raise SourceError(f"{source.folder / name}: empty; fetch it again or take it out")
    if seen != declared:
        raise SourceError(
            f"{source.folder / name}: {seen} lines, source.yaml declares {declared}; "
            "fetch the file again, or correct the declaration"
        )
