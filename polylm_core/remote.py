"""One input file as a stream, wherever it lies: read once, hashed on the way, tried again.

In: a path, or an address that fsspec knows (`s3://`, `https://`, `hf://`). Out: bytes. A file that
is not the declared one is a SourceError that names it. Libraries find credentials in their usual
places. What breaks in between (a connection, a server that is busy) is tried `TRIES` times, from
the byte reached.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import fsspec

from polylm_core.errors import SourceError, UnreachableError
from polylm_core.storage import HASH_CHUNK_BYTES, no_space_named, replacing, sha256_file

TRIES = 5
S3_CONNECTIONS = 32
"""At once from a process, instead of botocore's ten."""
S3_TRIES = 8
"""Of one request; with 20 % of requests failing one in 400,000 fails for good."""
S3_READ_SECONDS = 20.0
"""How long an answer may stay away, or stop in its middle, before it is asked for again."""
FIRST_WAIT_SECONDS = 0.5
"""Longest wait before the second try, doubled before each further one; how much of it is waited
is drawn by lot, so that machines that failed together do not come again together."""
REMOTE_BLOCK_BYTES = 1 << 23
CLIENT_ERRORS = range(400, 500)
TRIED_AGAIN = {408, 425, 429}
"""HTTP's answers in that range that say: later."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of a source."""

    name: str
    """As declared: the path below the source's location."""
    uri: str
    """A local path, or an address with a scheme."""
    sha256: str | None = None
    """As declared, if it is."""

    @property
    def path(self) -> Path:
        """The local path, for an address of this machine."""
        return Path(self.uri.removeprefix("file://")).expanduser()

    @property
    def is_remote(self) -> bool:
        """Whether it is not a path of this machine."""
        return is_remote(self.uri)


def is_remote(uri: str) -> bool:
    """Whether a location is an address rather than a path."""
    return "://" in uri and not uri.startswith("file://")


def below(location: str, name: str) -> str:
    """The address of a file in a folder, either kind."""
    if location.startswith(("http://", "https://")):
        name = quote(name)
    return f"{location.removeprefix('file://').rstrip('/')}/{name}"


class InputStream:
    """The bytes of one file from start to end, and their sha256."""

    def __init__(self, file: InputFile) -> None:
        self.closed = False
        self._file = file
        self._digest = hashlib.sha256()
        self._position = 0
        self._opened: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._close()
        self.closed = True

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` further bytes, none at the end."""
        chunk = self._read_remote(size) if self._file.is_remote else self._read_local(size)
        self._digest.update(chunk)
        self._position += len(chunk)
        return chunk

    def finish(self) -> str:
        """Read what is left, and return the sha256; raises SourceError for another than declared.

        Called after an error in the content too: that a file is not the declared one says more
        than where it stopped making sense.
        """
        while self.read(HASH_CHUNK_BYTES):
            pass
        seen = self._digest.hexdigest()
        if self._file.sha256 not in (None, seen):
            raise SourceError(
                f"{self._file.uri}: sha256 is {seen}, declared is {self._file.sha256}; "
                "fetch the file again, or correct the declaration"
            )
        return seen

    def _read_local(self, size: int) -> bytes:
        try:
            if self._opened is None:
                self._opened = self._file.path.open("rb")
            return bytes(self._opened.read(size))
        except OSError as error:
            raise SourceError(
                f"{self._file.uri}: cannot be read ({error.strerror or error}); put the file "
                "there, or correct its name in the params or `source_locations` in the profile"
            ) from error

    def _read_remote(self, size: int) -> bytes:
        for attempt in range(TRIES):
            try:
                if self._opened is None:
                    self._opened = _open_remote(self._file.uri, self._position)
                return bytes(self._opened.read(size))
            # Whatever S3's, HTTP's and the hub's clients raise, they share no class.
            except Exception as error:
                self._close()
                if attempt == TRIES - 1 or is_final(error):
                    raise unreachable(self._file.uri, error, attempt + 1) from error
                wait_before(attempt + 1)
        raise AssertionError("the last try returns or raises")

    def _close(self) -> None:
        if self._opened is not None:
            # A connection that broke may break again while it is closed.
            with suppress(Exception):
                self._opened.close()
            self._opened = None


def filesystem_of(uri: str) -> tuple[Any, str]:
    """Return what fsspec reaches an address with, and the path there.

    S3's client tries each request again itself, with waits drawn by lot ("standard" of botocore's
    retry modes): 5xx, slow-downs and time-outs.
    """
    options: dict[str, Any] = {}
    if uri.startswith("http"):
        # Compressed on the way, a file would not be the declared one.
        options = {"headers": {"Accept-Encoding": "identity"}}
    elif uri.startswith("s3://"):
        retries = {"mode": "standard", "total_max_attempts": S3_TRIES}
        settings = {
            "retries": retries,
            "read_timeout": S3_READ_SECONDS,
            "max_pool_connections": S3_CONNECTIONS,
        }
        options = {"config_kwargs": settings, "use_listings_cache": False}
    filesystem, path = fsspec.core.url_to_fs(uri, **options)
    return filesystem, path


def wait_before(retry: int) -> None:
    """Sleep before the first, second, ... try that follows a failed one."""
    time.sleep(random.uniform(0, FIRST_WAIT_SECONDS * 2 ** (retry - 1)))


def _open_remote(uri: str, position: int) -> Any:
    filesystem, path = filesystem_of(uri)
    opened = filesystem.open(path, "rb", block_size=REMOTE_BLOCK_BYTES)
    if position and opened.seekable():
        opened.seek(position)
    else:
        for start in range(0, position, REMOTE_BLOCK_BYTES):
            opened.read(min(REMOTE_BLOCK_BYTES, position - start))
    return opened


def is_final(error: BaseException) -> bool:
    """Whether trying again is in vain: not there, not allowed, no credentials."""
    status = _status(error)
    if status is not None:
        return status in CLIENT_ERRORS and status not in TRIED_AGAIN
    final = (FileNotFoundError, PermissionError, IsADirectoryError)
    return isinstance(error, final) or type(error).__name__ == "NoCredentialsError"


def _status(error: BaseException | None) -> int | None:
    """HTTP's answer behind an error; fsspec calls a busy server's file not found."""
    while error is not None:
        response = getattr(error, "response", None)
        status = getattr(error, "status", None) or getattr(response, "status_code", None)
        if isinstance(status, int):
            return status
        error = error.__cause__
    return None


def unreachable(uri: str, error: Exception, tries: int) -> SourceError:
    """The error for an address that does not answer as it should."""
    seen = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    noun = "try" if tries == 1 else "tries"
    kind = SourceError if is_final(error) else UnreachableError
    return kind(
        f"{uri}: cannot be read after {tries} {noun} ({seen}); check the address, the "
        "credentials of this environment and the network, then run again: finished files are kept"
    )


def fetch(file: InputFile, target: Path) -> str:
    """Copy a file to this machine, and return its sha256; raises SourceError as InputStream."""
    with InputStream(file) as stream, no_space_named(target), target.open("wb") as copy:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            copy.write(chunk)
        return stream.finish()


def fetch_once(file: InputFile, target: Path) -> Path:
    """Copy a file to this machine unless it is there; raises SourceError as InputStream."""
    if target.is_file() and file.sha256 in (None, sha256_file(target)):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as partial:
        fetch(file, partial)
    return target


def verified(file: InputFile) -> Path:
    """The path of a file of this machine; raises SourceError for another than declared."""
    if file.sha256 is not None:
        with InputStream(file) as stream:
            stream.finish()
    return file.path


@contextmanager
def on_disk(file: InputFile, scratch: Path) -> Iterator[tuple[Path, str]]:
    """Give a file for reading here and there, and its sha256; a remote one is fetched first."""
    if not file.is_remote:
        with InputStream(file) as stream:
            sha256 = stream.finish()
        yield file.path, sha256
        return
    copy = scratch / "fetched"
    try:
        yield copy, fetch(file, copy)
    finally:
        copy.unlink(missing_ok=True)
