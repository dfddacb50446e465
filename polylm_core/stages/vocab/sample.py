"""The balanced, bounded sample that the vocabulary is learned from.

A language's share grows with (its bytes) ** exponent, so that a small language gets more entries
than its size would give it. Documents are taken in the order of a hash of seed and id until the
next line would exceed the share, so the sample depends on neither parts, order nor workers. Only
documents whose hash is low enough to be taken are kept of each part, so memory and disk grow with
the sample and not with the corpus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from polylm_core.records import DOCUMENT_SCHEMA, read_batches, write_table
from polylm_core.restart import read_marker, write_marker
from polylm_core.storage import no_space_named, replacing

MARGIN = 1.25
"""Documents are kept for this multiple of a language's share; where they hold less than the share
after all (few, very unequal documents), the part is read again for `RETRY` times as much."""
RETRY = 4.0
CANDIDATE_SCHEMA = pa.schema([("draw", pa.string()), ("text", pa.string())])


@dataclass(frozen=True, slots=True)
class PartUnit:
    """One part of a language to keep documents of."""

    part: Path
    out: Path
    seed: int
    threshold: float
    """Documents are kept whose draw in [0, 1) is below."""


@dataclass(frozen=True, slots=True)
class SampleUnit:
    """One language's sample to take from what was kept of its parts."""

    candidates: tuple[Path, ...]
    out: Path
    budget_bytes: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    draw: str
    text: str


def count_bytes(part: Path) -> int:
    """UTF-8 bytes of the texts of one part."""
    return sum(
        pc.sum(pc.binary_length(batch.column("text"))).as_py() or 0
        for batch in read_batches(part, DOCUMENT_SCHEMA)
    )


def share_budget(
    bytes_by_language: Mapping[str, int], *, sample_bytes: int, exponent: float
) -> dict[str, int]:
    """Bytes of the sample that each language may fill; a language may have less text than that."""
    weights = {code: count**exponent for code, count in bytes_by_language.items() if count}
    whole = sum(weights.values())
    return {code: int(sample_bytes * weight / whole) for code, weight in weights.items()}


def keep_candidates(unit: PartUnit) -> int:
    """Keep the documents of a part that may be in the sample; returns the bytes of their lines."""
    marker = unit.out.with_name(f"{unit.out.name}.done.json")
    finished = read_marker(marker)
    if finished is not None:
        return int(finished)
    rows = [
        _Candidate(draw, texts[row].as_py())
        for ids, texts in _columns(unit.part)
        for row, key in enumerate(ids)
        if (draw := _draw(unit.seed, key)) < _as_draw(unit.threshold)
    ]
    unit.out.parent.mkdir(parents=True, exist_ok=True)
    with no_space_named(unit.out), replacing(unit.out) as partial:
        write_table(partial, rows, CANDIDATE_SCHEMA)
    size = sum(len(line.encode()) for row in rows for line in row.text.split("\n"))
    write_marker(marker, [unit.out], size)
    return size


def take_sample(unit: SampleUnit) -> int:
    """Write a language's lines to a file, one a line; returns their bytes."""
    candidates = sorted(
        (row["draw"], row["text"])
        for file in unit.candidates
        for batch in read_batches(file, CANDIDATE_SCHEMA)
        for row in batch.to_pylist()
    )
    size = 0
    with no_space_named(unit.out), replacing(unit.out) as partial, partial.open("wb") as file:
        for line in _lines_within((text for _, text in candidates), unit.budget_bytes):
            size += len(line)
            file.write(line + b"\n")
    return size


def read_sample(files: Iterable[Path]) -> Iterator[str]:
    """The lines of samples, one after the other, in bounded memory."""
    for path in files:
        with path.open("rb") as file:
            for line in file:
                yield line[:-1].decode()


def _columns(part: Path) -> Iterator[tuple[list[str], pa.Array]]:
    for batch in read_batches(part, DOCUMENT_SCHEMA):
        yield batch.column("id").to_pylist(), batch.column("text")


def _draw(seed: int, key: str) -> str:
    return hashlib.sha256(f"{seed}\n{key}".encode()).hexdigest()


def _as_draw(threshold: float) -> str:
    """The hexadecimal text that draws below the threshold come before."""
    return "g" if threshold >= 1 else f"{int(threshold * 2**64):016x}"


def _lines_within(texts: Iterable[str], budget_bytes: int) -> Iterator[bytes]:
    left = budget_bytes
    for text in texts:
        for line in text.encode().split(b"\n"):
            left -= len(line)
            if left < 0:
                return
            if line:
                yield line
