"""The pairs of two languages, decoded one by one: of some 20,000 a few hundred become tasks.

In: the pair files of a ShardSet, or of its held-out part, which all have English as side a. Out:
the pairs of a hub (side a) and a language. Where the hub is not English, two files are joined
through the aligned unit that both share.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.records import PAIR_SCHEMA, Pair
from polylm_core.stages.instruct.templates import ENGLISH


class Pairs(Protocol):
    """Pairs that can be named without being decoded."""

    names: list[str]
    """The id of each pair."""

    def decode(self, index: int) -> Pair | None:
        """Return a pair; none if its two halves turn out not to belong together."""


def open_pairs(folder: Path, language: str, hub: str) -> Pairs:
    """Pairs of a hub and a language, from `<folder>/pairs`; none if there is no such file."""
    if hub == ENGLISH:
        return _FromFile(folder, language)
    if language == ENGLISH:
        return _Swapped(folder, hub)
    return _Joined(folder, language, hub)


class _FromFile:
    def __init__(self, folder: Path, language: str) -> None:
        file = folder / "pairs" / language
        self._table: pa.Table = pq.read_table(file) if file.is_dir() else PAIR_SCHEMA.empty_table()
        self.names: list[str] = self._table["id"].to_pylist()

    def decode(self, index: int) -> Pair:
        return Pair(**self._table.slice(index, 1).to_pylist()[0])


class _Swapped(_FromFile):
    def decode(self, index: int) -> Pair:
        pair = super().decode(index)
        return replace(
            pair,
            language_a=pair.language_b,
            text_a=pair.text_b,
            language_b=pair.language_a,
            text_b=pair.text_a,
        )


class _Joined:
    def __init__(self, folder: Path, language: str, hub: str) -> None:
        self._of_language = _FromFile(folder, language)
        self._of_hub = _FromFile(folder, hub)
        by_unit = {_unit(name): index for index, name in enumerate(self._of_language.names)}
        self._matches: list[tuple[int, int]] = []
        self.names: list[str] = []
        for index, name in enumerate(self._of_hub.names):
            source, unit = _unit(name)
            match = by_unit.get((source, unit))
            if match is not None:
                self._matches.append((index, match))
                self.names.append(f"{source}/{hub}-{language}/{unit}")

    def decode(self, index: int) -> Pair | None:
        of_hub, of_language = self._matches[index]
        pair, match = self._of_hub.decode(of_hub), self._of_language.decode(of_language)
        if pair.text_a != match.text_a:
            return None
        return replace(match, id=self.names[index], language_a=pair.language_b, text_a=pair.text_b)


def _unit(name: str) -> tuple[str, str]:
    """Source and aligned unit of a pair's id: the same in the pairs of every language."""
    source, _, unit = name.split("/", 2)
    return source, unit


def place(name: str) -> tuple[str, int]:
    """Document of a pair's id, and the position of its unit there; -1 where units have names."""
    document, _, unit = name.rpartition("#")
    return document, int(unit) if unit.isdecimal() else -1
