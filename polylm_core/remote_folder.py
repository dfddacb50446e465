"""A folder that is a path or an address (`s3://`): files into it, their names, and away again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from polylm_core.errors import InfrastructureError, MachineError, PolyLMError
from polylm_core.remote import (
    TRIES,
    filesystem_of,
    is_final,
    is_remote,
    unreachable,
    wait_before,
)

Result = TypeVar("Result")


def upload(file: Path, uri: str) -> None:
    """Copy a file to a path or an address, whole or not at all.

    Raises MachineError when it cannot be written after `TRIES` tries.
    """
    filesystem, path = filesystem_of(uri)

    def put() -> None:
        filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        # A reader of a file system may come between; an object store shows whole objects only.
        partial = path if is_remote(uri) else f"{path}.partial"
        filesystem.put_file(str(file), partial)
        if partial != path:
            filesystem.mv(partial, path)

    def unwritable(error: Exception, tries: int) -> PolyLMError:
        kind = MachineError if is_final(error) else InfrastructureError
        return kind(
            f"{uri}: cannot be written after {tries} tries "
            f"({type(error).__name__}: {error}); check the address, the credentials of "
            "this environment and the network, then run again"
        )

    _tried(put, unwritable)


def size_of(uri: str) -> int | None:
    """Return the bytes of a file of a path or an address, none where there is no such file.

    Raises SourceError when it does not answer after `TRIES` tries.
    """
    filesystem, path = filesystem_of(uri)

    def sized() -> int | None:
        try:
            return int(filesystem.info(path)["size"])
        except FileNotFoundError:
            return None

    return _tried(sized, lambda error, tries: unreachable(uri, error, tries))


def children(uri: str) -> list[str]:
    """Return the names in a folder of a path or an address; none where there is no such folder.

    Raises SourceError when it does not answer after `TRIES` tries.
    """
    filesystem, path = filesystem_of(uri)

    def listed() -> list[str]:
        try:
            filesystem.invalidate_cache()
            return sorted(
                name.rstrip("/").rpartition("/")[2] for name in filesystem.ls(path, False)
            )
        except FileNotFoundError:
            return []

    return _tried(listed, lambda error, tries: unreachable(uri, error, tries))


def remove(uri: str, *, first: str) -> None:
    """Remove a folder of a path or an address, the file named `first` before the others.

    Raises SourceError when it does not answer.
    """
    filesystem, path = filesystem_of(uri)
    try:
        if filesystem.exists(f"{path}/{first}"):
            filesystem.rm_file(f"{path}/{first}")
        filesystem.rm(path, recursive=True)
        if is_remote(uri):
            filesystem.rm_file(f"{path}/")  # some servers keep an object for the empty folder
    except FileNotFoundError:
        return  # another has removed it
    except Exception as error:
        raise unreachable(uri, error, 1) from error


def _tried(work: Callable[[], Result], failed: Callable[[Exception, int], PolyLMError]) -> Result:
    """Do it, `TRIES` times if need be; what breaks in the end is raised as `failed` says."""
    for attempt in range(TRIES):
        try:
            return work()
        # As in reading: the clients share no class of errors.
        except Exception as error:
            if attempt == TRIES - 1 or is_final(error):
                raise failed(error, attempt + 1) from error
            wait_before(attempt + 1)
    raise AssertionError("the last try returns or raises")
