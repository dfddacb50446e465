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
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from polylm_core.redaction import redacted
from polylm_core.remote import InputFile, InputStream, below, fetch_once
from polylm_core.remote_folder import size_of, upload
from polylm_core.settings import Storage
from polylm_core.storage import exclusive_lock, link_or_copy, no_space_named, replacing, sha256_file

FETCHED_AT_ONCE = 32
"""A late answer costs waiting, which others need not do."""
SENT_AT_ONCE = 4
"""Fewer: s3fs holds up to ten parts of 50 MiB of each in memory."""
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
RECORD_FOLDERS = ("stacks", "logs", "cluster")
"""Stacks of ranks, what they printed, and what Ray knew: its timeline, machines and logs."""
OF_NUMBERS = ("metrics.jsonl", "throughput.jsonl", "timeline.json")
"""Records without anybody's text, too long to look for secrets in."""
MAX_RECORD_BYTES = 100_000_000
REDACTED_CHARACTERS = 1 << 20
"""About how much of a record is looked at at once."""
TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
"""How a record is read and written so that what is no text stays as it is."""
State = tuple[int, int]
"""Bytes of a file, and when it was last written."""


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

        A file leaves the folder once all of them are in the store, and as they were made; what is
        there already is read, and sent again where it is not. Raises MachineError when the store
        cannot be written.
        """
        if self.storage.payloads is None:
            return 0
        large = {
            name: entry
            for name, entry in artifact.manifest.files.items()
            if entry.bytes > self.storage.max_dvc_bytes
        }
        folder = artifact.path
        _at_once(lambda name: self._send_file(folder / name, large[name]), large, SENT_AT_ONCE)
        for name, entry in large.items():
            _link(folder / name, self.cached(entry.sha256), entry.sha256)
        for name in large:
            (folder / name).unlink()
        return sum(entry.bytes for entry in large.values())

    def _send_file(self, file: Path, entry: FileEntry) -> None:
        address = self.address(entry.sha256)
        assert address is not None
        if size_of(address) == entry.bytes and _is_whole(address, entry):
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
        _at_once(
            lambda name: self._fetch_file(artifact, name, absent[name]), missing, FETCHED_AT_ONCE
        )

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

    def keep_records(self, work: Path, sent: Mapping[str, State] | None = None) -> dict[str, State]:
        """Copy what a run and its phases wrote of themselves to the store, without secrets.

        It outlives the machines there. The small ones go first, and not what is as it was `sent`;
        returned is what is there now. Raises MachineError when the store cannot be written, OSError
        when the folder cannot be read.
        """
        if self.storage.payloads is None:
            return {}
        folder = below(self.storage.payloads, f"runs/{work.name}")
        records = _records(work)
        changed = [name for name, state in records.items() if (sent or {}).get(name) != state]
        _at_once(lambda name: _send_record(work / name, below(folder, name)), changed, SENT_AT_ONCE)
        return records


def _records(work: Path) -> dict[str, State]:
    """Return the states of a run's records that are not too large, the small ones first."""
    found: dict[str, State] = {}
    for file in work.rglob("*"):
        if not (_is_record(file, work) and file.is_file()):
            continue
        with suppress(FileNotFoundError):  # Ray's may be late, and are renamed when they are whole
            seen = file.stat()
            if seen.st_size <= MAX_RECORD_BYTES:
                found[str(file.relative_to(work))] = seen.st_size, seen.st_mtime_ns
    return dict(sorted(found.items(), key=lambda item: (item[1][0], item[0])))


def _is_record(file: Path, work: Path) -> bool:
    inside = file.relative_to(work)
    return inside.name in RECORDS or any(part in RECORD_FOLDERS for part in inside.parts[:-1])


def _send_record(file: Path, address: str) -> None:
    """Copy one record; what C libraries and programs of others print has passed no other seam."""
    if file.name in OF_NUMBERS:
        upload(file, address)
        return
    with tempfile.TemporaryDirectory(prefix="polylm-record-") as scratch:
        copy = Path(scratch) / file.name
        with file.open(**TEXT) as source, copy.open("w", **TEXT) as target:
            while lines := source.readlines(REDACTED_CHARACTERS):
                target.write(redacted("".join(lines)))
        upload(copy, address)


def _is_whole(address: str, entry: FileEntry) -> bool:
    """Whether an object of the store is still what its name says."""
    try:
        with InputStream(InputFile(address, address, entry.sha256)) as stream:
            stream.finish()
    except InfrastructureError:
        raise
    except SourceError:
        return False
    return True


def _link(file: Path, target: Path, sha256: str) -> None:
    """Give the file its place in the cache, also where a damaged copy of it lies."""
    if target.is_file() and sha256_file(target) == sha256:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with no_space_named(target), replacing(target) as partial:
        link_or_copy(str(file), str(partial))


def _at_once(
    work: Callable[[str], None], names: Mapping[str, FileEntry] | list[str], at_once: int
) -> None:
    """Do it for every name, so many at a time; raises the first error once all have ended.

    Who is interrupted meanwhile waits only for those that are under way.
    """
    with ThreadPoolExecutor(at_once, thread_name_prefix="payload") as pool:
        futures = [pool.submit(work, name) for name in names]
        try:
            for future in futures:
                future.result()
        except BaseException as error:
            if not isinstance(error, Exception):
                pool.shutdown(wait=False, cancel_futures=True)
            raise
