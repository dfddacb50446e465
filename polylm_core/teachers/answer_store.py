"""Everything that was asked and answered, so that nothing is asked, or paid for, twice.

One SQLite file, in which a request is found by the sha256 of all of it. Rows are added and never
changed. A row is whole or not there, whatever moment the process is killed at: an answer is on disk
before anybody uses it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from polylm_core.errors import CorruptArtifactError, MachineError
from polylm_core.storage import canonical_json, fingerprint, no_space_named
from polylm_core.teachers.teacher import Answer, Usage

_TABLE = (
    "CREATE TABLE IF NOT EXISTS answers ("
    "request_sha256 TEXT PRIMARY KEY, request TEXT NOT NULL, answer TEXT NOT NULL)"
)


@dataclass(frozen=True)
class Request:
    """One request, in full."""

    endpoint: str
    """Its name in the recipe: servers move."""
    path: str
    """`/chat/completions` or `/completions`."""
    body: dict[str, Any]
    """What is sent."""
    sample: int
    """Tells requests apart that are the same otherwise, whether the endpoint is told or not."""
    most: Usage
    """The most it can cost; follows from the body."""

    @cached_property
    def content(self) -> dict[str, Any]:
        """All of it, as stored."""
        return {
            "endpoint": self.endpoint,
            "path": self.path,
            "body": self.body,
            "sample": self.sample,
        }

    @cached_property
    def key(self) -> str:
        """The address: sha256 of the content."""
        return fingerprint(self.content)


class AnswerStore:
    """Answers by request."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._told():
            self._rows = sqlite3.connect(path, isolation_level=None)  # each statement commits
            # One write to the disk for each answer instead of three or more.
            self._rows.execute("PRAGMA journal_mode = WAL")
            self._rows.execute("PRAGMA synchronous = FULL")
            self._rows.execute(_TABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()

    def get(self, request: Request) -> Answer | None:
        """Return what was answered, or none if it was not."""
        with self._told():
            found = self._rows.execute(
                "SELECT answer FROM answers WHERE request_sha256 = ?", (request.key,)
            ).fetchone()
        return None if found is None else Answer(**json.loads(found[0]))

    def add(self, request: Request, answer: Answer) -> None:
        """Keep an answer; it is on disk when this returns."""
        row = (request.key, canonical_json(request.content), canonical_json(asdict(answer)))
        with no_space_named(self._path), self._told():
            self._rows.execute("INSERT INTO answers VALUES (?, ?, ?)", row)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise MachineError(
                f"{self._path}: the answers cannot be read or kept ({error}); mend that and run "
                "again, what was answered is kept"
            ) from error
        except sqlite3.DatabaseError as error:
            raise CorruptArtifactError(
                f"{self._path}: not the answers of a teacher any more ({error}); put a copy in its "
                "place, or move it away to ask, and pay for, everything again"
            ) from error
