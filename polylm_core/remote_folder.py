"""A folder that is a path or an address (`s3://`): files into it, their names, and away again."""

from __future__ import annotations

import time
from pathlib import Path

import fsspec

from polylm_core.errors import MachineError
from polylm_core.remote import FIRST_WAIT_SECONDS, TRIES, is_final, is_remote, unreachable


def upload(file: Path, uri: str) -> None:
    """Copy a file to a path or an address, whole or not at all.

    Raises MachineError when it cannot be written after `TRIES` tries.
    """
    filesystem, path = fsspec.core.url_to_fs(uri)
    for attempt in range(TRIES):
        try:
            filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            # A reader of a file system may come between; an object store shows whole objects only.
            partial = path if is_remote(uri) else f"{path}.partial"
            filesystem.put_file(str(file), partial)
            if partial != path:
                filesystem.mv(partial, path)
            return
        # As in reading: the clients share no class of errors.
        except Exception as error:
            if attempt == TRIES - 1 or is_final(error):
                raise MachineError(
                    f"{uri}: cannot be written after {attempt + 1} tries "
                    f"({type(error).__name__}: {error}); check the address, the credentials of "
                    "this environment and the network, then run again"
                ) from error
            time.sleep(FIRST_WAIT_SECONDS * 2**attempt)


def children(uri: str) -> list[str]:
    """Return the names in a folder of a path or an address; none where there is no such folder.

    Raises SourceError when it does not answer after `TRIES` tries.
    """
    filesystem, path = fsspec.core.url_to_fs(uri)
    for attempt in range(TRIES):
        try:
            filesystem.invalidate_cache()
            listed = filesystem.ls(path, False)
            return sorted(found.rstrip("/").rpartition("/")[2] for found in listed)
        except FileNotFoundError:
            return []
        except Exception as error:
            if attempt == TRIES - 1 or is_final(error):
                raise unreachable(uri, error, attempt + 1) from error
            time.sleep(FIRST_WAIT_SECONDS * 2**attempt)
    raise AssertionError("the last try returns or raises")


def remove(uri: str, *, first: str) -> None:
    """Remove a folder of a path or an address, the file named `first` before the others.

    Raises SourceError when it does not answer.
    """
    filesystem, path = fsspec.core.url_to_fs(uri)
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
