"""One unit of work: an input file (or a few that belong together) becomes parts of tables.

In: the files and the declaration. Out, in a folder of the unit's own: `documents/` and `pairs/`
with parts, and a marker with the counts and the sha256 of every part, written last. A stage that
was killed finds the marker, checks the parts, and does not read the file again.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from polylm_core.languages import UNDETERMINED
from polylm_core.records import (
    DOCUMENT_SCHEMA,
    PAIR_SCHEMA,
    Document,
    Pair,
    PartWriter,
    part_file,
)
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
from polylm_core.stages.ingest.lines import BrokenFileError
from polylm_core.stages.ingest.package import Package, read_package
from polylm_core.stages.ingest.skipped import BROKEN_FILE, Skipped, Skips
from polylm_core.storage import filling, no_space_named

KINDS = ("documents", "pairs")


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
    broken: str = ""
    """Why nothing was taken from it, if it is broken."""


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
    """Read a unit and write its parts into a folder."""
    job = Job(unit.source, unit.license, unit.languages, folder, Skips(unit.source))
    result = Result()
    try:
        _write_parts(unit, job, result, folder)
        _check_share(unit, job, result)
    except BrokenFileError as error:
        result = Result(broken=f"{unit.files[0].uri}: {error}")
        job.pair_drops.clear()
        job.skips.add(unit.files[0].name, 0, BROKEN_FILE, str(error))
        for kind in KINDS:
            shutil.rmtree(folder / kind, ignore_errors=True)
    result.pair_drops = dict(job.pair_drops)
    result.skipped = dict(job.skips.counts)
    result.samples = job.skips.samples
    result.sha256s = job.sha256s
    return result


def _write_parts(unit: Unit, job: Job, result: Result, folder: Path) -> None:
    counts, sizes, paired = Counter[str](), Counter[str](), Counter[str]()

    def count_documents(table: pa.Table) -> None:
        for language, num_rows, num_bytes in _by_language(table, "language", "text"):
            counts[language or UNDETERMINED] += num_rows
            sizes[language or UNDETERMINED] += num_bytes

    def count_pairs(table: pa.Table) -> None:
        for language, num_rows, _ in _by_language(table, "language_b", "text_b"):
            paired[language] += num_rows

    documents = PartWriter(folder / "documents", DOCUMENT_SCHEMA, count_documents)
    pairs = PartWriter(folder / "pairs", PAIR_SCHEMA, count_pairs)
    for row in _rows(job, unit):
        if isinstance(row, Document):
            documents.add(row, len(row.text))
        else:
            pairs.add(row, len(row.text_a) + len(row.text_b))
    documents.close()
    pairs.close()
    result.documents, result.document_bytes, result.pairs = dict(counts), dict(sizes), dict(paired)
    result.parts = {"documents": documents.num_parts, "pairs": pairs.num_parts}


def _by_language(table: pa.Table, language: str, text: str) -> list[tuple[str, int, int]]:
    """Language, rows and bytes of text of each language in a table."""
    sized = pa.table({"language": table[language], "bytes": pc.binary_length(table[text])})
    sums = sized.group_by("language").aggregate([("bytes", "count"), ("bytes", "sum")])
    columns = (sums[name].to_pylist() for name in ("language", "bytes_count", "bytes_sum"))
    return list(zip(*columns, strict=True))


def _check_share(unit: Unit, job: Job, result: Result) -> None:
    if not isinstance(unit.declared, Declared):
        return
    kept = sum(result.documents.values()) + sum(result.pairs.values())
    records = kept + sum(job.skips.counts.values()) + sum(job.pair_drops.values())
    if not records:
        raise BrokenFileError("holds no record")
    if job.skips.num_broken / records > unit.declared.max_broken_share:
        first = job.skips.samples[0]
        raise BrokenFileError(
            f"{job.skips.num_broken} of {records} records are broken, `max_broken_share` is "
            f"{unit.declared.max_broken_share} (the first: {first.reason} at {first.position}, "
            f"{first.sample[:100]!r})"
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
        case TextSource():
            for each in unit.files:
                yield from text.read_text(job, each, declared)
        case _:
            assert file is not None
            yield from _of_one_file(job, file, unit)


def _of_one_file(job: Job, file: InputFile, unit: Unit) -> Iterator[Document | Pair]:
    match unit.declared:
        case JsonlSource() as declared:
            return rows.read_jsonl(job, file, declared)
        case ParquetSource() as declared:
            return rows.read_parquet(job, file, declared)
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
