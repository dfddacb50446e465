"""What all forms of published sets share: languages of labels, clean messages, and the accounts.

A form yields what it finds: a conversation, or the reason why there is none.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polylm_core.identify import identify
from polylm_core.languages import from_lid_label, load_languages
from polylm_core.records import Message
from polylm_core.stages.instruct.imports.config import LanguageOfRows, RowFilter
from polylm_core.stages.instruct.imports.rows import Row

SCRIPT_LETTERS = 4
"""Of a script's subtag: `Latn` (RFC 5646)."""
TRADITIONAL_REGIONS = {"TW", "HK", "MO"}
"""Where a tag without a script means traditional Chinese (CLDR, likely subtags)."""
FILTERED = "left-out-by-where"
EMPTY_PART = "empty-part"
UNKNOWN_LABEL = "unknown-language-label"
UNIDENTIFIED = "language-not-identified"
NOT_TEXT = "not-text"
NO_COLUMN = "no-such-column"
NOT_UTF8 = "not-utf8"
BROKEN = {NOT_TEXT, NO_COLUMN, NOT_UTF8}
"""Reasons beside those of `rows` that count against `max_broken_share`."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a set has to give, before its length and number are judged."""

    key: str
    """Its own id, or the number of its row; unique in the set."""
    language: str
    prompt_language: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """Something that became no conversation."""

    reason: str
    language: str = ""
    amount: int = 1
    is_item: bool = True
    """Whether the publisher would count it; what `where` leaves out is not."""


Found = Conversation | Left


@dataclass
class Columns:
    """Which declared columns a set has been seen to have: a wrong name is not mere emptiness."""

    seen: Counter[str] = field(default_factory=Counter)

    def cell(self, row: Row, name: str) -> Any:
        """A cell by its name, or by a path of names and numbers; None where there is none."""
        found: Any = row.get(name, _ABSENT)
        if found is _ABSENT and "." in name:
            found = row
            for part in name.split("."):
                found = _inside(found, part)
        if found is _ABSENT:
            return None
        self.seen[name] += 1
        return found


_ABSENT = object()


def _inside(value: Any, part: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(part, _ABSENT)
    if isinstance(value, Sequence) and not isinstance(value, str) and part.isdecimal():
        return value[int(part)] if int(part) < len(value) else _ABSENT
    return _ABSENT


def clean(text: Any) -> str | None:
    """A text in NFC without outer space; empty for null, None for what is no text."""
    if text is None:
        return ""
    if not isinstance(text, str):
        return None
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a character, which JSON can spell
        return None
    return unicodedata.normalize("NFC", text).strip()


def passes(row: Row, filters: Sequence[RowFilter], columns: Columns) -> bool:
    """Whether a row is one of those that are taken."""
    return all(
        bool(re.search(each.matches, _text_of(columns.cell(row, each.column)))) == each.keep
        for each in filters
    )


def _text_of(cell: Any) -> str:
    return "" if cell is None else str(cell)


def language_of_label(label: Any, meanings: Mapping[str, str]) -> str | None:
    """The code of a label: as declared, a FLORES-200 code, or a tag such as `pt-BR`."""
    text = str(label)
    if text in meanings:
        return meanings[text]
    return _code_of_tag(text)


@functools.cache
def _code_of_tag(tag: str) -> str | None:
    languages = load_languages()
    if tag in languages:
        return tag
    by_tag = {language.bcp47: code for code, language in languages.items()}
    base, *further = tag.replace("_", "-").split("-")
    found = by_tag.get(tag) or by_tag.get(base.lower())
    found = found or next(iter(from_lid_label(base.lower())), None)
    scripts = [part.title() for part in further if len(part) == SCRIPT_LETTERS]
    if base.lower() == "zh" and {part.upper() for part in further} & TRADITIONAL_REGIONS:
        scripts = scripts or ["Hant"]
    if found is None or not scripts or found.endswith(scripts[0]):
        return found
    other = f"{found.split('_')[0]}_{scripts[0]}"
    return other if other in languages else None


def language_of_row(
    row: Row,
    file: str,
    declared: LanguageOfRows,
    columns: Columns,
    *,
    question: str,
    answer: str,
) -> str | Left:
    """The language of a row as declared, or identified from its answer and, failing that, both."""
    if declared.language is not None:
        return declared.language
    if declared.language_by_file:
        return declared.language_by_file[file]
    if declared.language_column is not None:
        label = columns.cell(row, declared.language_column)
        return language_of_label(label, declared.languages) or Left(UNKNOWN_LABEL)
    # A number is an answer in the language of its question.
    codes = from_lid_label(identify(answer)) or from_lid_label(identify(f"{question}\n{answer}"))
    return codes[0] if codes else Left(UNIDENTIFIED)


def never_seen(names: Iterator[str], columns: Columns) -> list[str]:
    """Names of declared columns that no row has."""
    return sorted({name for name in names if not columns.seen[name]})
