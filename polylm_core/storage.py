"""Bytes on disk: hashing, atomic writes, locks and the fingerprint of a value.

Hugging Face, S3 and local files are reached through fsspec URIs; everything else here is local.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polylm_core.errors import LockedError, MachineError, PolyLMError

HASH_CHUNK_BYTES = 1 << 20
FULL_DISK_BYTES = 1 << 14


def sha256_file(path: Path) -> str:
    """Return the hex sha256 of a file, read in bounded memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces.

    Raises TypeError on anything without a stable identity (a set, a path, an object), because a
    permissive fallback would silently fork the identities built on it.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def fingerprint(value: Any) -> str:
    """Return the hex sha256 of a JSON-able value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old or the new content, never a part of either."""
    with no_space_named(path), replacing(path) as partial, partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """Yield a file to write that becomes `path` when the block ends: whole, or not at all.

    It has a name of its own, so that a unit given up for lost and its second try may write the
    same file at once. What a killed process leaves lies in `folder`, by default beside `path`.
    """
    partial = (folder or path.parent) / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial"
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Yield a folder of its own whose files go into `folder` when the block ends, each whole.

    Two tries at the same unit write the same files and may do so at once. What a killed process
    leaves lies beside `folder`.
    """
    token = secrets.token_hex(4)
    partial = folder.parent / f".{folder.name}.{os.getpid()}-{token}.partial"
    partial.mkdir(parents=True)
    try:
        yield partial
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(path for path in partial.rglob("*") if path.is_file()):
            target = folder / file.relative_to(partial)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def link_or_copy(source: str, target: str) -> None:
    """Give a file a second name, or copy it where the file systems are two."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@contextmanager
def no_space_named(path: Path) -> Iterator[None]:
    """Turn "no space left" into an error that names the place and the bytes free."""
    try:
        yield
    except Exception as error:
        existing = next(parent for parent in [path, *path.parents] if parent.exists())
        free = shutil.disk_usage(existing).free
        named = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        # torch and safetensors raise errors of their own that do not carry the system's number.
        if isinstance(error, PolyLMError) or not (named or free < FULL_DISK_BYTES):
            raise
        raise MachineError(
            f"no space left while writing {path} ({free:,} bytes free); "
            "free some space there and run again, finished work is kept"
        ) from error


@contextmanager
def refusal_named(path: Path) -> Iterator[None]:
    """Turn "not permitted" and "read-only" into an error that names the file and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise MachineError(
            f"{error.filename or path}: {error.strerror}; make it writable for this user (uid "
            f"{os.getuid()}), or the file system it is on, and run again; finished work is kept"
        ) from error


@contextmanager
def exclusive_lock(path: Path, *, what: str, wait_seconds: float) -> Iterator[None]:
    """Hold an operating-system lock on `path`; it ends with the process, however that ends.

    Waits up to `wait_seconds` for a living holder, then raises LockedError naming its pid.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    file.seek(0)
                    holder = file.read().strip() or "unknown"
                    raise LockedError(
                        f"{what} is already being built by process {holder} (lock {path}); "
                        "wait for it to end, or end it, then run again"
                    ) from None
                time.sleep(0.1)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
