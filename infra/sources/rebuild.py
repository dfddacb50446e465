"""Make the sources from package files, and check the committed files against their record."""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from infra.sources.catalogue import SOURCES, Source
from infra.sources.errors import SourcesError
from infra.sources.packages import PackageFile, obtain, recorded_packages, unpack
from infra.sources.tables import columns, read_lines, write_columns

METADATA = "source.yaml"


def rebuild(packages: Path, out: Path, *, accept_new: bool = False) -> list[str]:
    """Write every source under `out`; returns one line a source that says what it holds.

    All package files are obtained and checked before anything is written.
    """
    files = {}
    for source in SOURCES:
        path = out / source.name / METADATA
        recorded = recorded_packages(read_metadata(path)) if path.exists() else {}
        files[source.name] = [
            obtain(wanted, packages, recorded.get(wanted.name), accept_new=accept_new)
            for wanted in source.packages
        ]
    return [write_source(source, files[source.name], out / source.name) for source in SOURCES]


def write_source(source: Source, files: list[PackageFile], folder: Path) -> str:
    """Unpack, build and write one source; returns a summary line."""
    with tempfile.TemporaryDirectory(prefix="polylm-sources-") as scratch:
        unpacked = {file.name: Path(scratch) / file.name for file in files}
        for file in files:
            unpack(file, unpacked[file.name])
        rows = source.build(unpacked)
    lines_by_name = columns(rows)
    recorded = write_columns(lines_by_name, folder)
    text = yaml.safe_dump(describe(source, files, recorded), sort_keys=False, allow_unicode=True)
    (folder / METADATA).write_text(text, encoding="utf-8")
    num_bytes = sum(path.stat().st_size for path in folder.glob("*.txt.xz"))
    num_languages = len(lines_by_name) - 1
    return f"{source.name}: {len(rows)} lines, {num_languages} languages, {num_bytes} bytes"


def describe(
    source: Source, files: list[PackageFile], recorded: Mapping[str, object]
) -> dict[str, object]:
    """What source.yaml says, in the order it says it."""
    return {
        "name": source.name,
        "licence": source.licence,
        "description": source.description,
        "alignment": source.alignment,
        "packages": [
            {"name": f.name, "version": f.version, "kind": f.kind, "sha256": f.sha256}
            for f in files
        ],
        "files": dict(recorded),
    }


def verify(out: Path) -> list[str]:
    """Hash every committed file again; returns one line a source.

    Raises:
        SourcesError: naming the first file that is missing, unrecorded or different.
    """
    return [verify_source(out / source.name) for source in SOURCES]


def verify_source(folder: Path) -> str:
    """Check one source: hashes, and that all files have the same number of lines."""
    files = read_metadata(folder / METADATA).get("files")
    if not isinstance(files, dict) or not files:
        raise SourcesError(f"{folder / METADATA}: lists no files")
    for name, entry in files.items():
        _verify_file(folder / name, entry)
    unrecorded = sorted({path.name for path in folder.glob("*.xz")} - set(files))
    if unrecorded:
        raise SourcesError(f"{folder / unrecorded[0]}: not recorded in {METADATA}")
    counts = {entry["lines"] for entry in files.values()}
    if len(counts) != 1:
        raise SourcesError(f"{folder}: its files have different numbers of lines: {sorted(counts)}")
    return f"{folder.name}: {len(files)} files as recorded"


def _verify_file(path: Path, entry: Mapping[str, object]) -> None:
    if not path.is_file():
        raise SourcesError(f"{path}: recorded in {METADATA} and missing")
    seen = hashlib.sha256(path.read_bytes()).hexdigest()
    if seen != entry.get("sha256"):
        raise SourcesError(f"{path}: expected sha256 {entry.get('sha256')}, seen {seen}")
    num_lines = len(read_lines(path))
    if num_lines != entry.get("lines"):
        raise SourcesError(f"{path}: expected {entry.get('lines')} lines, seen {num_lines}")


def read_metadata(path: Path) -> dict[str, object]:
    """The content of a source.yaml."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise SourcesError(f"{path}: cannot be read: {reason}") from error
    if not isinstance(content, dict):
        raise SourcesError(f"{path}: expected a mapping")
    return content
