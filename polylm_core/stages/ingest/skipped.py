"""What a source has that became nothing: counted by reason, with samples.

Two kinds. A *broken* record is not what the format says; too many make the file broken. What is
*passed over* is sound but no document of this recipe: a redirect, an image, another language.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa

BAD_JSON = "bad-json"
NOT_UTF8 = "not-utf8"
NO_TEXT = "no-text-column"
NULL_TEXT = "null-text"
NOT_A_STRING = "text-not-a-string"
TOO_LONG = "record-too-long"
BAD_RECORD = "bad-record"
WRONG_COLUMNS = "wrong-columns"
BROKEN_FILE = "broken-file"
BROKEN = {BAD_JSON, NOT_UTF8, NO_TEXT, NULL_TEXT, NOT_A_STRING, TOO_LONG, BAD_RECORD, WRONG_COLUMNS}
"""Reasons that count against `max_broken_share`."""

EMPTY = "empty-text"
NOT_HTML = "not-html"
NOT_FOUND = "not-a-page"
NOTHING_EXTRACTED = "nothing-extracted"
REDIRECT = "redirect"
NOT_AN_ARTICLE = "not-an-article"
OTHER_LANGUAGE = "language-outside-recipe"
UNKNOWN_LABEL = "unknown-language-label"
NOT_DRAWN = "not-drawn"

SAMPLES_PER_FILE = 10
"""Samples kept of one reason in one file."""
SAMPLES_PER_SOURCE = 1_000
"""Samples kept of one reason in one source, in the order of its files."""
SAMPLE_CHARACTERS = 300

SKIPPED_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("file", pa.string()),
        ("position", pa.int64()),
        ("reason", pa.string()),
        ("sample", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Skipped:
    """One record that became nothing."""

    source: str
    file: str
    position: int
    """Line, row, record or page of the file, counted from 1; 0 for the file itself."""
    reason: str
    sample: str


class Skips:
    """Counts and samples of one unit of work."""

    def __init__(self, source: str) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: list[Skipped] = []
        self._source = source
        self._kept: Counter[tuple[str, str]] = Counter()

    def add(self, file: str, position: int, reason: str, sample: str | bytes = "") -> None:
        """Count a record, and keep the start of it if few of its kind are kept."""
        self.counts[reason] += 1
        if self._kept[file, reason] == SAMPLES_PER_FILE:
            return
        self._kept[file, reason] += 1
        if isinstance(sample, bytes):
            sample = sample[: 4 * SAMPLE_CHARACTERS].decode("utf-8", errors="replace")
        # A lone surrogate, which JSON can spell, cannot be written.
        shown = sample[:SAMPLE_CHARACTERS].encode("utf-8", errors="replace").decode("utf-8")
        self.samples.append(Skipped(self._source, file, position, reason, shown))

    @property
    def num_broken(self) -> int:
        """Broken records."""
        return sum(count for reason, count in self.counts.items() if reason in BROKEN)
