"""Chromium interface strings: the same resource id in every language's `.pak` file.

In: the unpacked `chromium-l10n` package. Out: rows, forty strings to a document in the order of
their ids. Mark-up, accelerators and plural forms are resolved to the text a user would read.
"""

import html
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from infra.sources.errors import SourcesError
from infra.sources.languages import CHROMIUM_LOCALES, PIVOT
from infra.sources.tables import Row, aligned, distinct
from infra.sources.text import clean, num_english_words

MIN_WORDS = 2
MIN_COMMAS_OF_KEYWORDS = 2
STRINGS_PER_DOCUMENT = 40

_HEADER = struct.Struct("<IB3xHH")  # version, encoding, number of resources, number of aliases
_ENTRY = struct.Struct("<HI")  # resource id, offset
_ALIAS = struct.Struct("<HH")  # resource id, index of the entry it repeats
_VERSION, _UTF8 = 5, 1

_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_BREAK = re.compile(r"<(?:br|p|/p|li|/li|ul|/ul|div|/div|h\d|/h\d)\b[^<>]*>", re.IGNORECASE)
_ACCELERATOR_SUFFIX = re.compile(r"\s*[(\uff08]&[A-Za-z0-9][)\uff09]")
_ACCELERATOR = re.compile(r"&(?=\w)")
_CHOICE = re.compile(r"\{\s*(\w+)\s*,\s*(?:plural|select|selectordinal)\s*,")
_BRANCH = re.compile(r"\s*(?:offset:\d+\s*)?(=?\w+)\s*\{")
_NOT_PROSE = re.compile(r"function\s*\(|://|\bvar \w+ =|[{;]\s*\w[\w-]*\s*:|^[\w.]+\.[a-z]{2,4}$")


def read_pak(payload: bytes) -> dict[int, str]:
    """The strings of a version 5 `.pak` file by resource id.

    Aliases and the few resources that are not text are left out.

    Raises:
        SourcesError: the bytes are something else.
    """
    if len(payload) < _HEADER.size:
        raise SourcesError("not a .pak file: too short")
    version, encoding, num_resources, num_aliases = _HEADER.unpack_from(payload)
    if (version, encoding) != (_VERSION, _UTF8):
        raise SourcesError(f"expected .pak version 5 in UTF-8, got {version} and {encoding}")
    end = _HEADER.size + (num_resources + 1) * _ENTRY.size + num_aliases * _ALIAS.size
    if len(payload) < end:
        raise SourcesError("not a .pak file: its table of contents is cut off")
    entries = [
        _ENTRY.unpack_from(payload, _HEADER.size + i * _ENTRY.size)
        for i in range(num_resources + 1)
    ]
    strings = {}
    for (identifier, start), (_, stop) in pairwise(entries):
        with suppress(UnicodeDecodeError):
            strings[identifier] = payload[start:stop].decode()
    return strings


def readable(text: str) -> str:
    """The text as shown: no tags, no accelerators, the general form of plurals, $1 kept."""
    text = resolve_choices(text)
    text = _TAG.sub("", _BREAK.sub(" ", text))
    text = html.unescape(text)
    text = _ACCELERATOR_SUFFIX.sub("", text).replace("&&", "\0")
    text = _ACCELERATOR.sub(_accelerator, text)
    return clean(text.replace("\0", "&"))


def _accelerator(match: re.Match[str]) -> str:
    """Keep the ampersand of "Q&A" and "AT&T", drop that of "E&xport" and "&New"."""
    before, after = match.string[: match.start()][-1:], match.string[match.end()]
    return "&" if before.isupper() and after.isupper() else ""


def resolve_choices(text: str) -> str:
    """Replace each `{N, plural, …}` and `{N, select, …}` by its `other` branch, # by {N}."""
    while match := _CHOICE.search(text):
        branches, end = _branches(text, match.end())
        if "other" not in branches:
            return ""
        branch = branches["other"].replace("#", f"{{{match.group(1)}}}")
        text = text[: match.start()] + branch + text[end:]
    return text


def _branches(text: str, position: int) -> tuple[dict[str, str], int]:
    """The branches of a choice by name, and the position behind its closing brace."""
    branches: dict[str, str] = {}
    while match := _BRANCH.match(text, position):
        depth, position = 1, match.end()
        while depth and position < len(text):
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            position += 1
        branches[match.group(1)] = text[match.end() : position - 1]
    closing = text.find("}", position)
    return branches, closing + 1 if closing >= 0 else len(text)


def is_prose(english: str) -> bool:
    """At least two words, and neither an address, nor a piece of code, nor a list of keywords."""
    is_keywords = english.count(", ") >= MIN_COMMAS_OF_KEYWORDS and english == english.lower()
    enough = num_english_words(english) >= MIN_WORDS
    return enough and not is_keywords and not _NOT_PROSE.search(english)


def build(unpacked: Mapping[str, Path]) -> list[Row]:
    """Rows of all strings that read as text in English, by resource id."""
    folder = unpacked["chromium-l10n"] / "usr/lib/chromium/locales"
    strings = {}
    for language, locale in CHROMIUM_LOCALES.items():
        path = folder / f"{locale}.pak"
        if not path.is_file():
            raise SourcesError(f"chromium-l10n: no {locale}.pak in the package")
        strings[language] = read_pak(path.read_bytes())
    rows = []
    for identifier in sorted(strings[PIVOT]):
        texts = {
            language: readable(table.get(identifier, "")) for language, table in strings.items()
        }
        if is_prose(texts[PIVOT]):
            rows.append(aligned("", str(identifier), texts))
    return [
        Row(f"strings/{index // STRINGS_PER_DOCUMENT + 1:04d}", row.unit, row.texts)
        for index, row in enumerate(distinct(rows))
    ]
