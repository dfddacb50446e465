"""Translators for tests: they say the words backwards, or misbehave in one of the known ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from polylm_core.translators.translator import Scope, Translation

MARKER = re.compile(r"\[\[(\d+)\]\]|\{(\d+)\}")


def shout(text: str) -> str:
    """A translation that leaves markers alone."""
    return text.upper()


def drop(text: str) -> str:
    return MARKER.sub("", text, count=1).upper()


def double(text: str) -> str:
    return MARKER.sub(lambda match: match[0] * 2, text, count=1).upper()


def space_out(text: str) -> str:
    return MARKER.sub(lambda match: " ".join(match[0]), text).upper()


def renumber(text: str) -> str:
    return MARKER.sub(lambda match: match[0].replace(match[1] or match[2], "9"), text).upper()


def add_a_spaced_one(text: str) -> str:
    found = MARKER.search(text)
    return f"{text} {' '.join(found[0]) if found else ''}".upper()


def in_words(text: str) -> str:
    return MARKER.sub("marker zero", text).upper()


def other_digits(text: str) -> str:
    digits = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    return MARKER.sub(lambda match: match[0].translate(digits), text).upper()


def only_braces(text: str) -> str:
    """Keeps the second form of markers, and harms the first."""
    return re.sub(r"\[\[(\d+)\]\]", "[ \\1 ]", text).upper()


def reorder(text: str) -> str:
    """All markers first, the last one before the others: allowed."""
    markers = [match[0] for match in MARKER.finditer(text)]
    return "".join(reversed(markers)) + " " + MARKER.sub("", text).upper()


MISBEHAVING: tuple[Callable[[str], str], ...] = (
    drop,
    double,
    space_out,
    renumber,
    add_a_spaced_one,
    in_words,
    other_digits,
)


@dataclass
class Double:
    """Translates by a function; remembers what it was given."""

    speak: Callable[[str], str] = shout
    scope: Scope = "line"
    is_remote: bool = False
    unknown: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    def problem(self, source: str, target: str) -> str:
        unknown = [code for code in (source, target) if code in self.unknown]
        return f"does not know {' and '.join(unknown)}" if unknown else ""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Translation]:
        self.asked += texts
        return [Translation(self.speak(text)) for text in texts]
