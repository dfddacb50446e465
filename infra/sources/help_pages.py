"""LibreOffice help: paragraphs of the same page with the same id are translations.

In: one unpacked `libreoffice-help-*` package a language. Out: rows. Headings and paragraphs count
only where they have an id and are not code. Inline variants by operating system or application
are settled the same way in every language: the default variant, or else the first.
The package text is some 40 MB; `MAX_TEXT_BYTES` of it are taken, as whole pages.
"""

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

from infra.sources.errors import SourcesError
from infra.sources.languages import HELP_LOCALES, PIVOT
from infra.sources.tables import Row, aligned, distinct
from infra.sources.text import clean, num_english_words

MAX_TEXT_BYTES = 24_000_000
"""UTF-8 bytes of all languages together; what the committed size allows."""
MIN_WORDS = 2
PROSE_WORDS = 5
MIN_PROSE_PARAGRAPHS = 3

_UNITS = frozenset(["p", "h1", "h2", "h3", "h4", "h5", "h6"])
_IDS = ("par_", "hd_")

Page = dict[str, str]
"""Paragraph id, made unique within its page, -> text, in the order of the page."""


class _PageParser(HTMLParser):
    """Collects the texts of one page; `switches` is a stack of open inline choices."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.units: Page = {}
        self._tag = ""
        self._key = ""
        self._parts: list[str] = []
        self._spans: list[tuple[str, int]] = []
        self._switches: list[list[tuple[bool, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag in _UNITS:
            self._open(tag, named)
        elif tag == "br":
            self._parts.append(" ")
        elif tag == "span" and self._tag:
            self._open_span(named)

    def handle_endtag(self, tag: str) -> None:
        if tag == "span" and self._spans:
            self._close_span()
        elif tag == self._tag:
            text = clean("".join(self._parts))
            if text:
                self.units[self._key] = text
            self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag:
            self._parts.append(data)

    def _open(self, tag: str, named: Mapping[str, str]) -> None:
        identifier = named.get("id", "")
        is_text = identifier.startswith(_IDS) and "code" not in named.get("class", "")
        self._tag = tag if is_text else ""
        self._parts, self._spans, self._switches = [], [], []
        repeat = 0
        self._key = identifier
        while self._key in self.units:
            repeat += 1
            self._key = f"{identifier}.{repeat}"

    def _open_span(self, named: Mapping[str, str]) -> None:
        if named.get("class") == "switchinline":
            self._switches.append([])
            self._spans.append(("switch", len(self._parts)))
        elif named.get("hidden") == "true" and self._switches:
            kind = "default" if named.get("id", "").startswith("default") else "variant"
            self._spans.append((kind, len(self._parts)))
        else:
            self._spans.append(("plain", len(self._parts)))

    def _close_span(self) -> None:
        kind, start = self._spans.pop()
        if kind == "switch":
            variants = self._switches.pop()
            defaults = [text for is_default, text in variants if is_default]
            chosen = defaults or [text for _, text in variants]
            self._parts.extend(chosen[:1])
        elif kind != "plain":
            self._switches[-1].append((kind == "default", "".join(self._parts[start:])))
            del self._parts[start:]


def read_page(html: str) -> Page:
    """The paragraphs of one help page by id."""
    parser = _PageParser()
    parser.feed(html)
    parser.close()
    return parser.units


def build(unpacked: Mapping[str, Path]) -> list[Row]:
    """Rows of the chosen pages, in the order of page path and paragraph.

    Args:
        unpacked: package name -> folder it was unpacked into.
    """
    folders = {
        language: unpacked[f"libreoffice-help-{locale.lower()}"]
        / f"usr/share/libreoffice/help/{locale}/text"
        for language, locale in HELP_LOCALES.items()
    }
    for folder in folders.values():
        if not folder.is_dir():
            raise SourcesError(f"{folder.name}: no help pages under {folder}")
    with ProcessPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        read = pool.map(read_folder, folders.values())
        pages = dict(zip(folders, read, strict=True))
    rows = {name: page_rows(name, pages) for name in sorted(pages[PIVOT])}
    chosen = choose_pages(rows)
    return distinct(row for name in chosen for row in rows[name])


def read_folder(folder: Path) -> dict[str, Page]:
    """All pages of one language: page path without suffix -> page."""
    return {
        path.relative_to(folder).with_suffix("").as_posix(): read_page(path.read_text("utf-8"))
        for path in sorted(folder.rglob("*.html"))
    }


def page_rows(name: str, pages: Mapping[str, Mapping[str, Page]]) -> list[Row]:
    """The aligned paragraphs of one page; the unit is the ordinal in the English page."""
    rows = []
    for ordinal, (key, english) in enumerate(pages[PIVOT][name].items(), start=1):
        if num_english_words(english) >= MIN_WORDS:
            texts = {language: page.get(name, {}).get(key, "") for language, page in pages.items()}
            rows.append(aligned(name, str(ordinal), texts))
    return rows


def choose_pages(
    rows_by_page: Mapping[str, list[Row]], max_text_bytes: int = MAX_TEXT_BYTES
) -> list[str]:
    """Names of the pages to keep, sorted: pages of prose first, in the order of their hash.

    A paragraph that an earlier chosen page holds costs nothing, as it will be dropped.
    """
    seen: set[str] = set()
    chosen = []
    used_bytes = 0
    for name in sorted(rows_by_page, key=lambda name: _rank(name, rows_by_page[name])):
        new = [row for row in distinct(rows_by_page[name]) if row.texts[PIVOT] not in seen]
        cost = sum(len(text.encode()) for row in new for text in row.texts.values())
        if new and used_bytes + cost <= max_text_bytes:
            used_bytes += cost
            seen.update(row.texts[PIVOT] for row in new)
            chosen.append(name)
    return sorted(chosen)


def _rank(name: str, rows: list[Row]) -> tuple[bool, str]:
    num_prose = sum(num_english_words(row.texts[PIVOT]) >= PROSE_WORDS for row in rows)
    is_prose = num_prose >= MIN_PROSE_PARAGRAPHS and 2 * num_prose >= len(rows)
    return not is_prose, hashlib.sha256(name.encode()).hexdigest()
