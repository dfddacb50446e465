"""Interface strings: gettext catalogues, MediaWiki messages, Chromium resources."""

from __future__ import annotations

import gettext
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.corpora.lines import blocks, joined
from infra.sources.paks import read_pak, readable

MIN_CHARACTERS = 24
"""A shorter string is a label, not text."""

_CHOICE = re.compile(r"\{\{[A-Z]+:[^|{}]*\|([^|{}]*)[^{}]*\}\}")
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]")
_OUTER_LINK = re.compile(r"\[(?:https?:)?//\S+ ([^\[\]]*)\]")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_QUOTES = re.compile(r"'{2,}")
_MNEMONIC = re.compile(r"[~_&](?=\w)")


def catalogue_documents(path: Path) -> Iterator[str]:
    """Yield the documents of one `.mo` file: translations in the order of their originals."""
    with path.open("rb") as file:
        catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    translated = (text for key, text in catalogue.items() if key not in ("", text))
    return blocks(_texts(_MNEMONIC.sub("", _TAG.sub("", text)) for text in translated))


def message_documents(path: Path) -> Iterator[str]:
    """Yield the documents of one MediaWiki `i18n/<locale>.json`."""
    messages = json.loads(path.read_text("utf-8"))
    values = (text for key, text in messages.items() if isinstance(text, str) and key[0] != "@")
    return blocks(_texts(_unmarked(text) for text in values))


def resource_documents(path: Path) -> Iterator[str]:
    """Yield the documents of one Chromium `.pak` file."""
    table = read_pak(path.read_bytes())
    return blocks(_texts(readable(table[key]) for key in sorted(table)))


def _unmarked(text: str) -> str:
    for pattern, kept in (
        (_CHOICE, r"\1"),
        (_TEMPLATE, ""),
        (_LINK, r"\1"),
        (_OUTER_LINK, r"\1"),
        (_TAG, ""),
        (_QUOTES, ""),
    ):
        text = pattern.sub(kept, text)
    return text


def _texts(strings: Iterable[str]) -> list[str]:
    """Distinct texts of some length."""
    cleaned = (joined(string.split("\n")) for string in strings)
    return list(dict.fromkeys(text for text in cleaned if len(text) >= MIN_CHARACTERS))
