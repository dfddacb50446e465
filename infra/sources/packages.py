"""Package files: fetched by their own clients, checked by sha256, unpacked into a folder.

A package file is looked for in the folder of packages first; `apt-get` or `npm` fetch what is
missing. Nothing is installed.
"""

import hashlib
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from infra.sources.errors import SourcesError


@dataclass(frozen=True)
class Wanted:
    """A package by name; npm packages have one fixed version, Debian's move."""

    name: str
    kind: str
    version: str = ""


@dataclass(frozen=True)
class Recorded:
    """What an existing source.yaml says of a package."""

    version: str
    sha256: str


@dataclass(frozen=True)
class PackageFile:
    """A package file on this machine."""

    name: str
    version: str
    kind: str
    sha256: str
    path: Path


def obtain(
    wanted: Wanted, folder: Path, recorded: Recorded | None, *, accept_new: bool
) -> PackageFile:
    """The file of a package, fetched if need be.

    Raises:
        SourcesError: it cannot be had, or is not the recorded one and `accept_new` is off.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not _candidates(wanted, folder):
        _fetch(wanted, folder, recorded)
    files = [_describe(wanted, path) for path in _candidates(wanted, folder)]
    if not files:
        raise SourcesError(f"{wanted.name}: the client left no package file in {folder}")
    if recorded is not None:
        for file in files:
            if file.sha256 == recorded.sha256:
                return file
    if recorded is not None and not accept_new:
        raise SourcesError(
            f"{files[0].path.name}: expected sha256 {recorded.sha256} (version "
            f"{recorded.version}), seen {files[0].sha256}; to use this file and record it, "
            "add --accept-new-packages"
        )
    if len(files) > 1:
        names = ", ".join(file.path.name for file in files)
        raise SourcesError(f"{wanted.name}: keep one package file of {names}")
    return files[0]


def unpack(file: PackageFile, folder: Path) -> None:
    """Unpack into a folder, refusing members that would land outside it."""
    folder.mkdir(parents=True, exist_ok=True)
    if file.kind == "deb":
        _run(["dpkg", "-x", str(file.path), str(folder)], folder)
        return
    try:
        with tarfile.open(file.path) as archive:
            archive.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise SourcesError(f"{file.path.name}: cannot be unpacked: {error}") from error


def recorded_packages(metadata: Mapping[str, object]) -> dict[str, Recorded]:
    """The packages of a source.yaml by name."""
    entries = metadata.get("packages", [])
    if not isinstance(entries, list):
        raise SourcesError("source.yaml: packages is not a list")
    try:
        return {e["name"]: Recorded(str(e["version"]), str(e["sha256"])) for e in entries}
    except (KeyError, TypeError) as error:
        raise SourcesError("source.yaml: a package lacks name, version or sha256") from error


def _candidates(wanted: Wanted, folder: Path) -> list[Path]:
    pattern = f"{wanted.name}_*.deb" if wanted.kind == "deb" else f"{wanted.name}-*.tgz"
    if wanted.kind == "npm":
        pattern = f"{wanted.name}-{wanted.version}.tgz"
    return sorted(folder.glob(pattern))


def _describe(wanted: Wanted, path: Path) -> PackageFile:
    version = wanted.version or unquote(path.name.split("_")[1])
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return PackageFile(wanted.name, version, wanted.kind, sha256, path)


def _fetch(wanted: Wanted, folder: Path, recorded: Recorded | None) -> None:
    """The recorded version where the archive still has it, else the current one."""
    if wanted.kind == "npm":
        _run(["npm", "pack", "--silent", f"{wanted.name}@{wanted.version}"], folder)
        return
    download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download"]
    if recorded is not None:
        try:
            _run([*download, f"{wanted.name}={recorded.version}"], folder)
            return
        except SourcesError:
            pass  # superseded: the current version is fetched, and its sha256 compared
    _run([*download, wanted.name], folder)


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise SourcesError(f"{command[0]}: this command is needed and not installed") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SourcesError(f"{' '.join(command)}: {reason}")
