"""Which files there are to read: the units of work of a recipe, in an order that never changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from polylm_core.errors import SourceError
from polylm_core.languages import ENGLISH
from polylm_core.lines import CODECS, BrokenFileError, Decompressed, iter_lines
from polylm_core.remote import InputFile, InputStream, below, is_remote
from polylm_core.stages.base import StageRun
from polylm_core.stages.ingest.config import (
    HuggingFaceSource,
    IngestConfig,
    MosesSource,
    PackageSource,
    TextSource,
)
from polylm_core.stages.ingest.declared import FileSource
from polylm_core.stages.ingest.hub import list_files
from polylm_core.stages.ingest.package import Package, open_package
from polylm_core.stages.ingest.translations import ZIP
from polylm_core.stages.ingest.unit import PackagePart, Unit

SMALL_FILES_PER_UNIT = 1_000
"""Files that are a document each, read together: a part for one row costs more than it holds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All units, and what is known before any of them is read."""

    units: tuple[Unit, ...]
    licenses: Mapping[str, str]
    packages: Mapping[str, Package]


def make_plan(config: IngestConfig, sources: Path, run: StageRun, work: Path) -> Plan:
    """List the units of every source; raises SourceError for what can be told before reading."""
    packages = {}
    for name, declared in config.sources.items():
        if isinstance(declared, PackageSource):
            packages[name] = open_package(name, _folder(_location(name, sources, run)))
    _require_languages(config, packages, run.languages)
    paired = _paired(config, packages)
    units: list[Unit] = []
    licenses = {}
    for name, declared in sorted(config.sources.items()):
        if isinstance(declared, PackageSource):
            package = packages[name]
            licenses[name] = package.declaration.licence
            found = _of_package(name, declared, package, run, paired)
        else:
            licenses[name] = declared.license
            blank = Unit(name, declared.license, declared, (), frozenset(run.languages), work)
            found = _of_files(blank, sources, run)
        units += [
            replace(unit, folder=work / name / f"{number:06d}") for number, unit in enumerate(found)
        ]
    return Plan(tuple(units), licenses, packages)


def _location(name: str, sources: Path, run: StageRun) -> str:
    return run.source_locations.get(name, str(sources / name))


def _folder(location: str) -> Path:
    if is_remote(location):
        raise SourceError(
            f"{location}: a package lies in a folder of this machine; copy it there, and name the "
            "folder in the profile's `source_locations`"
        )
    return Path(location.removeprefix("file://"))


def _require_languages(
    config: IngestConfig, packages: Mapping[str, Package], languages: Sequence[str]
) -> None:
    """Raise SourceError for a language of the recipe that no source can have."""
    offered = config.document_languages()
    if offered is None:
        return
    offered = {*offered, *(code for package in packages.values() for code in package.languages)}
    missing = [code for code in languages if code not in offered]
    if missing:
        raise SourceError(
            f"no source has text in {', '.join(missing)} "
            f"(sources: {', '.join(config.sources)}); add a source or take the language out"
        )


def _paired(config: IngestConfig, packages: Mapping[str, Package]) -> set[str]:
    if config.pair_languages is not None:
        return set(config.pair_languages)
    return {code for package in packages.values() for code in package.languages}


def _of_package(
    name: str, declared: PackageSource, package: Package, run: StageRun, paired: set[str]
) -> Iterator[Unit]:
    """Yield a unit for each language that is wanted."""
    for code in package.languages:
        documents = code in run.languages
        pairs = code in paired and code != ENGLISH
        if documents or pairs:
            yield Unit(
                name,
                package.declaration.licence,
                declared,
                (),
                frozenset(run.languages),
                Path(),
                part=PackagePart(package, code, documents, pairs),
            )


def _of_files(blank: Unit, sources: Path, run: StageRun) -> Iterator[Unit]:
    """Yield a unit for each file, or for those that belong together."""
    declared = blank.declared
    if isinstance(declared, HuggingFaceSource):
        for language, file in list_files(declared, run.source_locations.get(blank.source)):
            yield replace(blank, files=(file,), language=language)
        return
    assert isinstance(declared, FileSource)
    files = _files(declared, _location(blank.source, sources, run))
    if isinstance(declared, MosesSource):
        groups = _sides(declared, files)
    elif isinstance(declared, TextSource) and declared.document == "file":
        starts = range(0, len(files), SMALL_FILES_PER_UNIT)
        groups = [tuple(files[start : start + SMALL_FILES_PER_UNIT]) for start in starts]
    else:
        groups = [(file,) for file in files]
    for group in groups:
        yield replace(blank, files=group)


def _files(declared: FileSource, location: str) -> list[InputFile]:
    """The files of a source, sorted by name."""
    names: Mapping[str, str | None] = declared.files
    if declared.file_list is not None:
        listed = declared.file_list
        file = InputFile(listed.path, below(location, listed.path), listed.sha256)
        names = dict.fromkeys(islice(_listed(file), listed.first))
    return [InputFile(name, below(location, name), names[name]) for name in sorted(names)]


def _listed(file: InputFile) -> list[str]:
    with InputStream(file) as stream:
        try:
            lines = [line or b"" for line in iter_lines(Decompressed(stream, file.name))]
        except BrokenFileError as error:
            stream.finish()
            raise SourceError(f"{file.uri}: {error}; fetch it again") from error
        stream.finish()
    try:
        names = [name for line in lines if (name := line.decode("utf-8").strip())]
    except UnicodeDecodeError as error:
        raise SourceError(f"{file.uri}: not UTF-8 ({error}); it lists a name a line") from error
    if not names or any(name.startswith("/") or ".." in name.split("/") for name in names):
        raise SourceError(f"{file.uri}: lists no file, or one outside its folder; correct it")
    return names


def _sides(declared: MosesSource, files: Sequence[InputFile]) -> list[tuple[InputFile, ...]]:
    """Zips alone, other files by the name that two have in common."""
    groups: dict[str, dict[str, InputFile]] = {}
    alone: list[tuple[str, tuple[InputFile, ...]]] = []
    for file in files:
        path = PurePosixPath(file.name)
        if path.suffix == ZIP:
            alone.append((file.name, (file,)))
            continue
        plain = path.with_suffix("") if path.suffix in CODECS else path
        groups.setdefault(str(plain.with_suffix("")), {})[plain.suffix.removeprefix(".")] = file
    for stem, sides in groups.items():
        if set(sides) != set(declared.sides):
            raise SourceError(
                f"{next(iter(sides.values())).uri}: expected {stem}.{declared.sides[0]} and "
                f"{stem}.{declared.sides[1]} (`sides`); declare both files, or a {ZIP}"
            )
        alone.append((stem, tuple(sides[side] for side in declared.sides)))
    return [group for _, group in sorted(alone)]
