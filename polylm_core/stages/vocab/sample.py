"""The balanced, bounded sample that the vocabulary is learned from.

A language's share grows with (its bytes) ** exponent, so that a small language gets more entries
than its size would give it. Which documents are in depends on their ids and the seed alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from polylm_core.records import Document, read_documents


@dataclass(frozen=True, slots=True)
class SampleUnit:
    """One language's part of the sample."""

    documents: Path
    seed: int
    budget_bytes: int


def count_bytes(documents: Path) -> int:
    """UTF-8 bytes of the texts of one file."""
    return sum(len(document.text.encode()) for document in read_documents(documents))


def share_budget(
    bytes_by_language: Mapping[str, int], *, sample_bytes: int, exponent: float
) -> dict[str, int]:
    """Bytes of the sample that each language may fill; a language may have less text than that."""
    weights = {code: count**exponent for code, count in bytes_by_language.items() if count}
    whole = sum(weights.values())
    return {code: int(sample_bytes * weight / whole) for code, weight in weights.items()}


def shuffled_documents(documents: Path, seed: int) -> list[Document]:
    """Documents in an order drawn by the seed, the same on every machine."""

    def draw(document: Document) -> bytes:
        return hashlib.sha256(f"{seed}\n{document.id}".encode()).digest()

    return sorted(read_documents(documents), key=draw)


def sample_lines(unit: SampleUnit) -> list[str]:
    """Lines of drawn documents until the next one would exceed the budget."""
    return list(_lines_within(shuffled_documents(unit.documents, unit.seed), unit.budget_bytes))


def _lines_within(documents: list[Document], budget_bytes: int) -> Iterator[str]:
    left = budget_bytes
    for document in documents:
        for line in document.text.split("\n"):
            left -= len(line.encode())
            if left < 0:
                return
            if line:
                yield line
