"""Where an imported set lies, and how one that is missing is fetched.

The profile's place goes first, then the folder of the sources, then the set's own address. Light:
the check of a recipe asks it too.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from polylm_core.stages.instruct.imports.config import HUB, ImportedSet


def location_of(
    name: str, declared: ImportedSet, sources: Path, locations: Mapping[str, str]
) -> str:
    """A folder or an address; the folder of the sources where nothing else is known."""
    folder = sources / name
    if name in locations:
        return locations[name]
    return str(folder) if declared.uri is None or folder.is_dir() else declared.uri


def missing_files(declared: ImportedSet, location: str) -> list[str]:
    """The files that should lie in a folder of this machine and do not; none for an address."""
    if "://" in location and not location.startswith("file://"):
        return []
    folder = Path(location.removeprefix("file://")).expanduser()
    return [file for file in sorted(declared.files) if not (folder / file).is_file()]


def describe_missing(name: str, declared: ImportedSet, location: str, seen: str) -> str:
    """One line of an error: the set, what is wrong with it, and how it is fetched."""
    return f"{name}: {seen}; {fetch_command(name, declared)}"


def count_missing(declared: ImportedSet, location: str) -> str:
    """What is missing in a folder, in words; empty if nothing is."""
    missing = missing_files(declared, location)
    if not missing:
        return ""
    return f"{len(missing)} of {len(declared.files)} files not in {location} ({missing[0]})"


def fetch_command(name: str, declared: ImportedSet) -> str:
    """What a person runs to have the set in `data/00_sources`."""
    folder = f"data/00_sources/{name}"
    names = sorted(declared.files)
    if declared.fetch is not None:
        return f"make it with `{declared.fetch}`"
    if declared.uri is None:
        return (
            f"put {', '.join(names)} into {folder}, or name their folder in the profile's "
            f"`source_locations.{name}`"
        )
    hub = HUB.fullmatch(declared.uri)
    if hub:
        command = [
            *("hf", "download", "--repo-type", "dataset", "--revision", hub["commit"]),
            *("--local-dir", folder, hub["name"], *names),
        ]
        return f"fetch it with `{shlex.join(command)}`"
    targets = [(f"{declared.uri.rstrip('/')}/{file}", f"{folder}/{file}") for file in names]
    if declared.uri.startswith("s3://"):
        commands = [shlex.join(["aws", "s3", "cp", *pair]) for pair in targets]
    else:
        curl = ("curl", "--fail", "--location", "--create-dirs", "--output")
        commands = [shlex.join([*curl, target, source]) for source, target in targets]
    return f"fetch it with `{' && '.join(commands)}`"
