"""One run at a time makes an artifact, also where two runs share nothing but an object store.

A claim is an object of the store, created only where there is none (`If-None-Match: *`) and
renewed only as the holder last wrote it (`If-Match`). No clocks are compared: a claim that somebody
watches for `LEASE_SECONDS` without seeing it renewed is that of a run which has died, and is taken
over, by one of those who watch. A holder that finds its claim taken may not publish.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any, Self

from polylm_core.compute.process import start_time
from polylm_core.errors import InfrastructureError, LockedError, PolyLMError
from polylm_core.remote import filesystem_of, is_final, unreachable, wait_before

LEASE_SECONDS = 60.0
RENEW_SECONDS = 10.0
"""Six tries to renew before others may take the claim for a dead run's."""
POLL_SECONDS = 1.0
TRIES = 5


class Claim:
    """A claim on one address, held while the block runs."""

    def __init__(self, uri: str, *, what: str, wait_seconds: float) -> None:
        self._uri = uri
        self._what = what
        self._wait_seconds = wait_seconds
        self._token = secrets.token_hex(8)
        self._count = 0
        self._etag = ""
        self._lost = False
        self._renewing = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, name="claim", daemon=True)

    def __enter__(self) -> Self:
        """Take the claim.

        Raises LockedError when a living run holds it for longer than `wait_seconds`,
        UnreachableError when the store does not answer.
        """
        self._take()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the claim back, before the block ends if need be."""
        if self._over.is_set():
            return
        self._over.set()
        self._thread.join()
        try:
            if not self._lost and self._read()[1].get("token") == self._token:
                filesystem, path = filesystem_of(self._uri)
                filesystem.rm_file(path)
        except Exception as error:  # others find it not renewed
            if is_final(error) and not isinstance(error, FileNotFoundError | PolyLMError):
                raise

    def require_held(self) -> None:
        """Renew the claim now; raise LockedError when another run has taken it over.

        What was last heard of it may be old: a process may have been suspended since.
        Raises InfrastructureError when the store does not answer.
        """
        if not self._renew():
            raise LockedError(
                f"{self._what} is being made by another run too, which took {self._uri} over while "
                "this one could not renew it; let that one end, then run again"
            )

    def _take(self) -> None:
        began, seen, since = time.monotonic(), "", time.monotonic()
        while not self._write(""):
            etag, holder = self._read()
            if not etag:
                continue  # it has just been given back
            if etag != seen:
                renewed = bool(seen)
                seen, since = etag, time.monotonic()
                if renewed and since - began > self._wait_seconds:
                    raise LockedError(
                        f"{self._what} is already being made by process {holder.get('pid')} on "
                        f"{holder.get('host')} (claim {self._uri}); wait for it to end, or end it, "
                        "then run again"
                    )
            is_dead = _has_ended(holder) or time.monotonic() - since > LEASE_SECONDS
            if is_dead and self._write(etag):
                return
            time.sleep(POLL_SECONDS)

    def _keep_renewing(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            try:
                if not self._renew():
                    return
            except PolyLMError:
                continue  # tried again until somebody has taken it

    def _renew(self) -> bool:
        """Write the claim again unless somebody else has; return whether it is this run's."""
        with self._renewing:
            self._lost = self._lost or not self._write(self._etag)
            return not self._lost

    def _write(self, replaced: str) -> bool:
        """Write the claim where it is as it was last seen; return whether it is this run's now."""
        self._count += 1
        content = json.dumps(
            {
                "host": socket.gethostname(),
                "machine": _machine(),
                "pid": os.getpid(),
                "started": start_time(os.getpid()),
                "token": self._token,
                "count": self._count,
            }
        )
        filesystem, path = filesystem_of(self._uri)
        for attempt in range(TRIES):
            condition = {"IfMatch": replaced} if replaced else {"mode": "create"}
            try:
                self._etag = _etag(filesystem.pipe_file(path, content.encode(), **condition))
                return True
            except Exception as error:
                etag, holder = self._read()
                if holder.get("token") == self._token:  # written, and the answer was lost
                    self._etag = replaced = etag
                    if holder.get("count") == self._count:
                        return True
                elif etag != replaced:
                    return False
                if attempt == TRIES - 1 or is_final(error):
                    raise InfrastructureError(
                        f"{self._uri}: cannot be written ({type(error).__name__}: {error}); check "
                        "the address and the credentials of this environment, then run again"
                    ) from error
            wait_before(attempt + 1)
        raise AssertionError("the last try returns or raises")

    def _read(self) -> tuple[str, dict[str, Any]]:
        """Return the tag and the content of what is there; an empty tag where nothing is."""
        filesystem, path = filesystem_of(self._uri)
        for attempt in range(TRIES):
            try:
                etag = _etag(filesystem.info(path))
                content: dict[str, Any] = json.loads(filesystem.cat_file(path))
                return etag, content
            except FileNotFoundError:
                return "", {}
            except Exception as error:
                if attempt == TRIES - 1 or is_final(error):
                    raise unreachable(self._uri, error, attempt + 1) from error
                wait_before(attempt + 1)
        raise AssertionError("the last try returns or raises")


def _etag(answer: Any) -> str:
    return '"' + str(answer["ETag"]).strip('"') + '"'


def _has_ended(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    if holder.get("machine") != _machine():
        return False
    return start_time(int(holder.get("pid", 0))) != holder.get("started")


def _machine() -> str:
    """This boot of this machine, and its container: where a process has its number."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"
