"""Aligned human translations: a text is found as it is, up to Unicode form and space.

In: a TSV file whose first line names languages (`eng_Latn<TAB>spa_Latn`), a JSONL file of objects
such as `{"eng_Latn": "Yes", "spa_Latn": "Sí"}`, or the pairs of a ShardSet. What is not in it, or
is in it with several translations, is refused.
"""

from __future__ import annotations

import functools
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polylm_core.errors import SourceError, TranslatorError
from polylm_core.languages import ENGLISH, load_languages
from polylm_core.records import read_pairs
from polylm_core.storage import sha256_file
from polylm_core.teachers.places import place_of
from polylm_core.translators.config import TableTranslator
from polylm_core.translators.translator import NOT_IN_TABLE, SEVERAL_IN_TABLE, Scope, Translation

MOST_PROBLEMS = 20
"""Of a wrong file that are shown."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file, or a folder of pairs."""

    path: Path
    is_remote = False
    scope: Scope = "exact"

    def problem(self, source: str, target: str) -> str:
        """Say that the table has nothing in these languages."""
        if _load(self.path, source, target):
            return ""
        return f"{self.path} has no text in both {source} and {target}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Translation]:
        """Look all texts up."""
        known = _load(self.path, source, target)
        return [_found(known.get(_normal(text))) for text in texts]


def find_table(config: TableTranslator, locations: Mapping[str, str], shards: Path) -> Table:
    """Find the file and verify it, or take the pairs; raises TranslatorError, TeacherError."""
    if not config.source:
        return Table(shards / "pairs")
    path = place_of(config, locations)
    if not path.is_file():
        raise TranslatorError(
            f"{path}: no such file; correct `source_locations.{config.source}` in the profile"
        )
    seen = sha256_file(path)
    if seen != config.sha256:
        raise TranslatorError(
            f"{path}: sha256 is {seen}, params say {config.sha256}; put the declared file there, "
            "or declare this one"
        )
    return Table(path)


def _found(translations: frozenset[str] | None) -> Translation:
    if translations is None:
        return Translation("", NOT_IN_TABLE)
    if len(translations) > 1:
        return Translation("", SEVERAL_IN_TABLE)
    return Translation(next(iter(translations)))


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


@functools.lru_cache(maxsize=4)
def _load(path: Path, source: str, target: str) -> Mapping[str, frozenset[str]]:
    """Translations by text."""
    pairs = _pairs(path, source, target) if path.is_dir() else _rows(path, source, target)
    known: dict[str, frozenset[str]] = {}
    for text, other in pairs:
        if text.strip() and other.strip():
            name = _normal(text)
            translation = unicodedata.normalize("NFC", other)
            same = {_normal(each) for each in known.get(name, ())}
            if _normal(translation) not in same:
                known[name] = known.get(name, frozenset()) | {translation}
    return known


def _pairs(folder: Path, source: str, target: str) -> Iterator[tuple[str, str]]:
    """Pairs of English and another language, either way round."""
    file = folder / (target if source == ENGLISH else source)
    if ENGLISH not in (source, target) or not file.exists():
        return
    for pair in read_pairs(file):
        sides = {pair.language_a: pair.text_a, pair.language_b: pair.text_b}
        if source in sides and target in sides:
            yield sides[source], sides[target]


def _rows(path: Path, source: str, target: str) -> Iterator[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 ({error}); convert it") from None
    problems: list[str] = []
    read = _read_jsonl if path.suffix == ".jsonl" else _read_tsv
    for row in read(lines, problems):
        if source in row and target in row:
            yield row[source], row[target]
    if problems:
        shown = "\n  ".join(problems[:MOST_PROBLEMS])
        more = len(problems) - MOST_PROBLEMS
        tail = f"\n  and {more} more" if more > 0 else ""
        raise SourceError(f"{path} is no table of translations; correct:\n  {shown}{tail}")


def _read_tsv(lines: Sequence[str], problems: list[str]) -> Iterator[dict[str, str]]:
    codes = lines[0].rstrip("\r").split("\t")
    problems += [f"line 1: {unknown}" for unknown in _unknown(codes)]
    for number, line in enumerate(lines[1:], start=2):
        cells = line.rstrip("\r").split("\t")
        if line.strip() and len(cells) != len(codes):
            problems.append(f"line {number}: {len(cells)} cells, {len(codes)} languages")
        elif line.strip():
            yield dict(zip(codes, cells, strict=True))


def _read_jsonl(lines: Sequence[str], problems: list[str]) -> Iterator[dict[str, str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.append(f"line {number}: not JSON ({error})")
            continue
        if not isinstance(row, dict) or not all(isinstance(cell, str) for cell in row.values()):
            problems.append(f"line {number}: not an object of texts by language code")
            continue
        problems += [f"line {number}: {unknown}" for unknown in _unknown(row)]
        yield row


def _unknown(codes: Sequence[str] | Mapping[str, str]) -> list[str]:
    return [f"{code!r} is no language code" for code in codes if code not in load_languages()]
