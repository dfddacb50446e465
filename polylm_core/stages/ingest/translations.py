"""OPUS' sentence pairs: Moses' two aligned files, TMX and TSV."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

from polylm_core.lines import (
    BrokenFileError,
    Decompressed,
    Readable,
    iter_lines,
    require_expansion,
)
from polylm_core.records import Pair
from polylm_core.remote import InputFile, on_disk
from polylm_core.stages.ingest import skipped
from polylm_core.stages.ingest.config import MosesSource, TmxSource, TsvSource
from polylm_core.stages.ingest.job import Job
from polylm_core.stages.ingest.xml import elements

XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
ZIP = ".zip"


def read_tsv(job: Job, file: InputFile, declared: TsvSource) -> Iterator[Pair]:
    """Yield the pairs of a file of columns separated by tabs."""
    with job.opened(file) as stream:
        for number, line in enumerate(iter_lines(stream), start=1):
            if line is None:
                job.skips.add(file.name, number, skipped.TOO_LONG)
                continue
            cells = line.rstrip(b"\r").split(b"\t")
            if len(cells) <= max(declared.columns):
                job.skips.add(file.name, number, skipped.WRONG_COLUMNS, line)
                continue
            first, second = (cells[column] for column in declared.columns)
            yield from _pair(job, (file, file), declared, number, (first, second))


def _pair(
    job: Job,
    files: tuple[InputFile, InputFile],
    declared: MosesSource | TsvSource,
    number: int,
    sides: tuple[bytes, bytes],
) -> Iterator[Pair]:
    texts = []
    for file, side in zip(files, sides, strict=True):
        try:
            texts.append(side.decode("utf-8"))
        except UnicodeDecodeError:
            job.skips.add(file.name, number, skipped.NOT_UTF8, b"\t".join(sides))
            return
    yield from job.pair(declared, (texts[0], texts[1]))


def read_moses(job: Job, files: tuple[InputFile, ...], declared: MosesSource) -> Iterator[Pair]:
    """Yield the pairs of a zip, or of two files."""
    if len(files) == 1:
        with on_disk(files[0], job.scratch) as (path, sha256):
            job.sha256s[files[0].name] = sha256
            with _zipped_sides(path, declared) as (first, second):
                yield from _aligned(job, (files[0], files[0]), declared, first, second)
    else:
        with job.opened(files[0]) as first, job.opened(files[1]) as second:
            yield from _aligned(job, (files[0], files[1]), declared, first, second)


@contextmanager
def _zipped_sides(path: Path, declared: MosesSource) -> Iterator[tuple[Readable, Readable]]:
    try:
        with ExitStack() as stack:
            archive = stack.enter_context(zipfile.ZipFile(path))
            _require_inside(archive)
            names = [_member(archive, side) for side in declared.sides]
            first, second = (stack.enter_context(archive.open(name)) for name in names)
            yield Decompressed(first, ""), Decompressed(second, "")
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise BrokenFileError(f"not a readable zip ({error})") from error


def _require_inside(archive: zipfile.ZipFile) -> None:
    """Raise BrokenFileError for an archive that was made to do harm."""
    for member in archive.infolist():
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        if ".." in parts or parts[:1] == ("/",) or stat.S_ISLNK(member.external_attr >> 16):
            raise BrokenFileError(f"its member {member.filename!r} points out of it")
        require_expansion(member.file_size, max(1, member.compress_size))


def _member(archive: zipfile.ZipFile, side: str) -> str:
    found = [name for name in archive.namelist() if name.endswith(f".{side}")]
    if len(found) != 1:
        raise BrokenFileError(
            f"has {len(found)} files that end in .{side}, expected one; "
            f"it holds {', '.join(archive.namelist())}"
        )
    return found[0]


def _aligned(
    job: Job,
    files: tuple[InputFile, InputFile],
    declared: MosesSource,
    first: Readable,
    second: Readable,
) -> Iterator[Pair]:
    missing: Any = object()
    both = zip_longest(iter_lines(first), iter_lines(second), fillvalue=missing)
    for number, (one, other) in enumerate(both, start=1):
        if one is missing or other is missing:
            ended = 0 if one is missing else 1
            raise BrokenFileError(
                f"side {declared.sides[ended]} ends after line {number - 1}, the other does not",
                files[ended].name,
            )
        if one is None or other is None:
            job.skips.add(files[0 if one is None else 1].name, number, skipped.TOO_LONG)
            continue
        yield from _pair(job, files, declared, number, (one, other))


def read_tmx(job: Job, file: InputFile, declared: TmxSource) -> Iterator[Pair]:
    """Yield the pairs of a translation memory."""
    wanted = [side.lower() for side in declared.sides]
    with job.opened(file) as stream:
        for number, unit in enumerate(elements(stream, ("tu",)), start=1):
            texts: dict[str, str] = {}
            for variant in unit.iterfind("{*}tuv"):
                segment = variant.find("{*}seg")
                label = variant.get(XML_LANGUAGE) or variant.get("lang") or ""
                if segment is not None:
                    texts[label.lower()] = "".join(segment.itertext())
            if all(side in texts for side in wanted):
                first, second = (texts[side] for side in wanted)
                yield from job.pair(declared, (first, second))
            else:
                seen = ", ".join(sorted(texts)) or "no language"
                job.skips.add(file.name, number, skipped.BAD_RECORD, f"a unit with {seen}")
