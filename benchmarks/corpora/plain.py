"""Texts that need little unpacking: package descriptions, reStructuredText, dictionaries."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.corpora.lines import blocks, joined

_UNSPACED = frozenset(["zho_Hans", "zho_Hant", "jpn_Jpan"])
_DESCRIPTION = re.compile(r"\nDescription-(?!md5)\w+: ")
_ENTRY = re.compile(r"\n(?=\S)")


def description_documents(path: Path, language: str) -> Iterator[str]:
    """Yield documents of consecutive package descriptions of one `Translation-xx` index."""
    separator = "" if language in _UNSPACED else " "
    seen: dict[str, None] = {}
    for record in path.read_text("utf-8").split("\n\n"):
        parts = _DESCRIPTION.split(record, 1)
        if len(parts) == 2:
            seen[joined(_paragraphs(parts[1], separator))] = None
    return blocks([text for text in seen if "\n" in text])


def _paragraphs(text: str, separator: str) -> Iterator[str]:
    paragraph: list[str] = []
    short, *lines = text.split("\n")
    yield short
    for line in [*lines, " ."]:
        verbatim = line.startswith("  ")
        if (verbatim or line.strip() in ("", ".")) and paragraph:
            yield separator.join(paragraph)
            paragraph = []
        if verbatim:
            yield line
        elif line.strip() not in ("", "."):
            paragraph.append(line.strip())
    if paragraph:
        yield separator.join(paragraph)


def source_text(path: Path) -> str:
    """Return a reStructuredText file with the lines of each paragraph joined."""
    paragraphs = path.read_text("utf-8", "replace").split("\n\n")
    lines = []
    for paragraph in paragraphs:
        verbatim = paragraph.startswith((" ", "\t", "..", "=", "+", "|"))
        lines += paragraph.split("\n") if verbatim else [paragraph.replace("\n", " ")]
    return joined(lines)


def dictionary_documents(path: Path) -> Iterator[str]:
    """Yield documents of consecutive entries of a dictd `.dict.dz` file."""
    content = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
    entries = (joined([entry.replace("\n", " ")]) for entry in _ENTRY.split(content))
    return blocks([entry for entry in entries if len(entry) > 80])
