"""One unit of work: an input file (or a few that belong together) becomes parts of tables.

In: the files and the declaration. Out, in a folder of the unit's own: `documents/` and `pairs/`
with parts, and a marker with the counts and the sha256 of every part, written last. A stage that
was killed finds the marker, checks the parts, and does not read the file again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from polylm_core.lines import BrokenFileError
from polylm_core.records import Document, Pair, part_file
from polylm_core.remote import InputFile
from polylm_core.restart import read_marker, write_marker
from polylm_core.stages.ingest import rows, text, translations, web, wiki
from polylm_core.stages.ingest.config import (
    HuggingFaceSource,
    JsonlSource,
    MosesSource,
    PackageSource,
    ParquetSource,
    Source,
    TextSource,
    TmxSource,
    TsvSource,
    WarcSource,
    WetSource,
    WikipediaSource,
)
from polylm_core.stages.ingest.declared import Declared
from polylm_core.stages.ingest.hub import is_table
from polylm_core.stages.ingest.job import Job
from polylm_core.stages.ingest.package import Package, read_package
from polylm_core.stages.ingest.skipped import BROKEN, BROKEN_FILE, Skipped, Skips
from polylm_core.stages.ingest.tables import KINDS, Tables
from polylm_core.storage import filling, no_space_named


@dataclass(frozen=True, slots=True)
class PackagePart:
    """What of a package a unit is to read."""

    package: Package
    language: str
    documents: bool
    pairs: bool


@dataclass(frozen=True, slots=True)
class Unit:
    """What to read, and where to put it."""

    source: str
    license: str
    declared: Source
    files: tuple[InputFile, ...]
    """Several only for what is aligned (two sides of a pair) and for documents of a file each."""
    languages: frozenset[str]
    """The recipe's."""
    folder: Path
    language: str | None = None
    """Of a data set's configuration, if it has one."""
    part: PackagePart | None = None


@dataclass(slots=True)
class Result:
    """What a unit gave; JSON-able, for the marker."""

    documents: dict[str, int] = field(default_factory=dict)
    """By language, like the bytes of their text."""
    document_bytes: dict[str, int] = field(default_factory=dict)
    pairs: dict[str, int] = field(default_factory=dict)
    """By the language that is not English."""
    pair_drops: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    samples: list[Skipped] = field(default_factory=list)
    sha256s: dict[str, str] = field(default_factory=dict)
    """Of the input files."""
    parts: dict[str, int] = field(default_factory=dict)
    """Number of parts, by kind."""
    broken: list[str] = field(default_factory=list)
    """A message for each broken file, from which nothing was taken."""


def read_unit(unit: Unit) -> Result:
    """Read and write one unit, or find it finished; raises SourceError."""
    finished = _read_marker(unit)
    if finished is not None:
        return finished
    with no_space_named(unit.folder), filling(unit.folder) as folder:
        result = _read_unit(unit, folder)
    with no_space_named(unit.folder):
        # A broken file may be whole at the next try: it is looked at again.
        if not result.broken:
            _write_marker(unit, result)
    return result


def _read_unit(unit: Unit, folder: Path) -> Result:
    """Read a unit and write its parts into a folder; nothing of a broken file is in them."""
    result = Result()
    tables = Tables(folder)
    pieces = _pieces(unit)
    for piece in pieces:
        job = Job(unit.source, unit.license, unit.languages, folder, Skips(unit.source))
        rows = _sound_rows(job, piece)
        try:
            # One of several is a document at most: it is written when it was read whole.
            tables.add(rows if len(pieces) == 1 else list(rows))
        except BrokenFileError as error:
            job.pair_drops.clear()
            job.skips = Skips(unit.source)
            result.broken.append(_named(error, piece, job.skips))
            if len(pieces) == 1:
                tables.discard()
        _count(job, result)
    result.parts = tables.close()
    result.documents, result.document_bytes = dict(tables.documents), dict(tables.document_bytes)
    result.pairs = dict(tables.pairs)
    return result


def _pieces(unit: Unit) -> list[Unit]:
    """What of a unit can break without the rest: each file of text; a pair's two sides are one."""
    if isinstance(unit.declared, TextSource):
        return [replace(unit, files=(file,)) for file in unit.files]
    return [unit]


def _named(error: BrokenFileError, piece: Unit, skips: Skips) -> str:
    """What is told of a broken file, which is counted: its address, and why."""
    by_name = {file.name: file for file in piece.files}
    broken = by_name.get(error.name, piece.files[0])
    skips.add(broken.name, 0, BROKEN_FILE, str(error))
    return f"{broken.uri}: {error}"


def _count(job: Job, result: Result) -> None:
    result.pair_drops = dict(Counter(result.pair_drops) + job.pair_drops)
    result.skipped = dict(Counter(result.skipped) + job.skips.counts)
    result.samples += job.skips.samples
    result.sha256s |= job.sha256s


def _sound_rows(job: Job, piece: Unit) -> Iterator[Document | Pair]:
    """Yield the rows of a piece; raises BrokenFileError at its end for too few sound ones."""
    kept = 0
    for row in _rows(job, piece):
        kept += 1
        yield row
    if isinstance(piece.declared, Declared):
        _check_share(piece.declared, job, kept)


def _check_share(declared: Declared, job: Job, kept: int) -> None:
    records = kept + sum(job.skips.counts.values()) + sum(job.pair_drops.values())
    if not records:
        raise BrokenFileError("holds no record")
    if job.skips.num_broken / records > declared.max_broken_share:
        first = next(sample for sample in job.skips.samples if sample.reason in BROKEN)
        raise BrokenFileError(
            f"{job.skips.num_broken} of {records} records are broken, `max_broken_share` is "
            f"{declared.max_broken_share} (the first: {first.reason} at {first.position}, "
            f"{first.sample[:100]!r})",
            first.file,
        )


def _rows(job: Job, unit: Unit) -> Iterator[Document | Pair]:
    declared, file = unit.declared, unit.files[0] if unit.files else None
    match declared:
        case PackageSource():
            part = unit.part
            assert part is not None
            yield from read_package(
                job, part.package, part.language, documents=part.documents, pairs=part.pairs
            )
        case MosesSource():
            yield from translations.read_moses(job, unit.files, declared)
        case _:
            assert file is not None
            yield from _of_one_file(job, file, unit)


def _of_one_file(job: Job, file: InputFile, unit: Unit) -> Iterator[Document | Pair]:
    match unit.declared:
        case JsonlSource() as declared:
            return rows.read_jsonl(job, file, declared)
        case ParquetSource() as declared:
            return rows.read_parquet(job, file, declared)
        case TextSource() as declared:
            return text.read_text(job, file, declared)
        case WetSource():
            return web.read_wet(job, file)
        case WarcSource() as declared:
            return web.read_warc(job, file, declared)
        case WikipediaSource() as declared:
            return wiki.read_wikipedia(job, file, declared)
        case TmxSource() as declared:
            return translations.read_tmx(job, file, declared)
        case TsvSource() as declared:
            return translations.read_tsv(job, file, declared)
        case HuggingFaceSource() as declared:
            columns = declared.model_copy(update={"language": unit.language})
            read = rows.read_parquet if is_table(file.name) else rows.read_jsonl
            return read(job, file, columns)
    raise AssertionError(f"no reader for {unit.declared}")


def parts_of(unit: Unit, result: Result, *kinds: str) -> list[Path]:
    """The files that a unit wrote: those of some kinds, or all."""
    return [
        part_file(unit.folder / kind, number)
        for kind in kinds or KINDS
        for number in range(result.parts.get(kind, 0))
    ]


def _marker(unit: Unit) -> Path:
    return unit.folder / "done.json"


def _inputs(unit: Unit) -> dict[str, list[int]]:
    """Size and time of change of the local files: another file under the name is read again."""
    found = {}
    for file in unit.files:
        if not file.is_remote and Path(file.uri).is_file():
            status = Path(file.uri).stat()
            found[file.name] = [status.st_size, status.st_mtime_ns]
    return found


def _write_marker(unit: Unit, result: Result) -> None:
    content = {"result": asdict(result), "inputs": _inputs(unit)}
    write_marker(_marker(unit), parts_of(unit, result), content)


def _read_marker(unit: Unit) -> Result | None:
    """The result of a unit whose parts and inputs are as they were, or none."""
    content = read_marker(_marker(unit))
    if content is None or content["inputs"] != _inputs(unit):
        return None
    samples = [Skipped(**sample) for sample in content["result"]["samples"]]
    return Result(**{**content["result"], "samples": samples})
