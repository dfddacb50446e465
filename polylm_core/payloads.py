"""The large files of artifacts: in an object store by their sha256, read from an offline cache.

A stage publishes its artifact whole. `send` then takes the files that are larger than the profile
allows out of the folder, and what is left (the manifest and the small files) is DVC's. The
manifest does not change: it says of every file the sha256 and the size, and that is the address.

`load` gives an artifact whose folder has every file. Where some are absent that folder is a view:
links to the small files and to the cache, which is filled from the store first. Every byte is
verified as in any other artifact, so a damaged copy is fetched again and a damaged store refused.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from polylm_core.artifacts import (
    MANIFEST,
    A,
    Artifact,
    FileEntry,
    partial_folder,
    verify_files,
)
from polylm_core.errors import (
    CorruptArtifactError,
    InfrastructureError,
    MissingArtifactError,
    SourceError,
)
from polylm_core.remote import InputFile, below, fetch_once
from polylm_core.remote_folder import size_of, upload
from polylm_core.settings import Storage
from polylm_core.storage import exclusive_lock, link_or_copy, no_space_named, replacing, sha256_file

CONCURRENT_FILES = 4
VIEW_WAIT_SECONDS = 3600.0
"""How long a reader waits for another that fetches the same artifact."""
RECORDS = (
    "provenance.json",
    "prefect.jsonl",
    "metrics.jsonl",
    "events.jsonl",
    "throughput.jsonl",
    "skips.jsonl",
    "spent.json",
)
RECORD_FOLDERS = ("stacks", "cluster")
"""Stacks of ranks, and what Ray knew: its timeline, machines and logs."""
MAX_RECORD_BYTES = 100_000_000


@dataclass(frozen=True)
class Payloads:
    """One store, as one checkout uses it."""

    storage: Storage
    runs: Path
    """Folder that is in no commit: the cache is `payloads/` in it, and `views/` the views."""

    def cached(self, sha256: str) -> Path:
        """Where the copy of a file lies on this machine."""
        return self.runs / "payloads" / sha256[:2] / sha256

    def address(self, sha256: str) -> str | None:
        """Where a file lies in the store; none without a store."""
        if self.storage.payloads is None:
            return None
        return below(self.storage.payloads, f"sha256/{sha256[:2]}/{sha256}")

    def claim_address(self, name: str) -> str | None:
        """Where runs of one name agree who makes its artifact; none without a bucket."""
        if self.storage.payloads is None or not self.storage.payloads.startswith("s3://"):
            return None
        return below(self.storage.payloads, f"claims/{name}.json")

    def send(self, artifact: Artifact) -> int:
        """Take the large files out of the artifact's folder into the store; return their bytes.

        A file leaves the folder once all of them are in the store; what is there already is not
        sent again. Raises MachineError when the store cannot be written.
        """
        if self.storage.payloads is None:
            return 0
        large = {
            name: entry
            for name, entry in artifact.manifest.files.items()
            if entry.bytes > self.storage.max_dvc_bytes
        }
        folder = artifact.path
        _at_once(lambda name: self._send_file(folder / name, large[name]), large)
        for name, entry in large.items():
            _link(folder / name, self.cached(entry.sha256))
        for name in large:
            (folder / name).unlink()
        return sum(entry.bytes for entry in large.values())

    def _send_file(self, file: Path, entry: FileEntry) -> None:
        address = self.address(entry.sha256)
        assert address is not None
        if size_of(address) == entry.bytes:
            return
        upload(file, address)
        seen = size_of(address)
        if seen != entry.bytes:
            raise InfrastructureError(
                f"{address}: holds {seen} bytes after {file} with {entry.bytes} was sent; "
                "check the object store, then run again"
            )

    def load(self, kind: type[A], path: Path) -> A:
        """Load and verify an artifact, wherever its large files lie.

        Raises MissingArtifactError when the manifest is not there or a file is nowhere,
        CorruptArtifactError when a file is not as it was made, UnreachableError when the store
        does not answer.
        """
        artifact = kind.open(path)
        absent = {
            name: entry
            for name, entry in artifact.manifest.files.items()
            if not (path / name).exists()
        }
        verify_files(path, artifact.manifest, absent)
        if not absent:
            return artifact
        view = self.runs / "views" / artifact.fingerprint[:16] / path.name
        with exclusive_lock(view.with_name("lock"), what=str(view), wait_seconds=VIEW_WAIT_SECONDS):
            if view.is_dir():
                try:
                    return kind.load(view)
                except CorruptArtifactError:
                    shutil.rmtree(view)  # links to a cache that was damaged: fetched again
            self._fetch(artifact, absent)
            self._build(artifact, absent, view)
            return kind.load(view)

    def _fetch(self, artifact: Artifact, absent: Mapping[str, FileEntry]) -> None:
        missing = [
            name
            for name, entry in absent.items()
            if not self.cached(entry.sha256).is_file()
            or sha256_file(self.cached(entry.sha256)) != entry.sha256
        ]
        if missing and self.storage.payloads is None:
            bytes_missing = sum(absent[name].bytes for name in missing)
            raise MissingArtifactError(
                f"{artifact.path}: {len(missing)} files ({bytes_missing:,} bytes) are neither "
                f"there nor in {self.runs / 'payloads'}, the first: {missing[0]}; set "
                "`storage.payloads` in the profile to the object store they were sent to, or run "
                f"`dvc repro --force --single-item {artifact.stage}` to make them again"
            )
        _at_once(lambda name: self._fetch_file(artifact, name, absent[name]), missing)

    def _fetch_file(self, artifact: Artifact, name: str, entry: FileEntry) -> None:
        address = self.address(entry.sha256)
        assert address is not None
        cached = self.cached(entry.sha256)
        try:
            with no_space_named(cached):
                fetch_once(InputFile(name, address, entry.sha256), cached)
        except InfrastructureError:
            raise
        except SourceError as error:
            raise CorruptArtifactError(
                f"{artifact.path / name}: not in the store as it was made ({error}); run "
                f"`dvc repro --force --single-item {artifact.stage}` to make it again"
            ) from error

    def _build(self, artifact: Artifact, absent: Mapping[str, FileEntry], view: Path) -> None:
        partial = partial_folder(view)
        for name in (MANIFEST, *artifact.manifest.files):
            entry = absent.get(name)
            source = artifact.path / name if entry is None else self.cached(entry.sha256)
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            with no_space_named(partial):
                link_or_copy(str(source), str(partial / name))
        partial.rename(view)

    def keep_records(self, work: Path) -> None:
        """Copy what a run and its phases wrote of themselves to the store.

        It outlives the machines there. Raises MachineError when the store cannot be written.
        """
        if self.storage.payloads is None:
            return
        folder = below(self.storage.payloads, f"runs/{work.name}")
        files = sorted(file for file in work.rglob("*") if _is_record(file, work))
        kept = [str(file.relative_to(work)) for file in files if _is_small(file)]
        _at_once(lambda name: upload(work / name, below(folder, name)), kept)


def _is_record(file: Path, work: Path) -> bool:
    inside = file.relative_to(work)
    return inside.name in RECORDS or any(part in RECORD_FOLDERS for part in inside.parts[:-1])


def _is_small(file: Path) -> bool:
    return file.is_file() and file.stat().st_size <= MAX_RECORD_BYTES


def _link(file: Path, target: Path) -> None:
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with no_space_named(target), replacing(target) as partial:
        link_or_copy(str(file), str(partial))


def _at_once(work: Callable[[str], None], names: Mapping[str, FileEntry] | list[str]) -> None:
    """Do it for every name, some at a time; raises the first error once all have ended."""
    with ThreadPoolExecutor(CONCURRENT_FILES, thread_name_prefix="payload") as pool:
        for future in [pool.submit(work, name) for name in names]:
            future.result()
