"""Line repair: one form for one text, nothing invisible, every line once.

Filter 1 of curate (PolyLM §3.1, "line-level repair"): NFC, invisible characters, whitespace,
over-long words, lines that are only a URL, lines said before in the same document, and lines that
were left in English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace

from polylm_core.records import Document
from polylm_core.stages.curate.ledger import Ledger

FILTER = "normalise"

# Controls, soft hyphen, zero-width space, direction marks and overrides, word joiner, byte order
# mark. ZWNJ and ZWJ (U+200C, U+200D) stay: Persian and the scripts of India spell with them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
_URL_ONLY = re.compile(r"\(?(?:https?://|www\.)\S+\Z")
_NOT_A_LETTER = re.compile(r"[\W\d_]")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A normalised document, with what only the raw one could tell."""

    document: Document
    duplicate_line_share: float
    """Lines that stood in the document before, of its lines."""
    duplicate_line_character_share: float

    @property
    def lines(self) -> list[str]:
        """The document's lines, none of them empty."""
        return self.document.text.split("\n")


def normalise_line(line: str) -> str:
    """NFC, without invisible characters, with single spaces, stripped."""
    composed = unicodedata.normalize("NFC", line)
    # What is invisible is not printable either; most lines are spared the slower search.
    if not composed.isprintable():
        composed = _INVISIBLE.sub("", composed)
    return " ".join(composed.split())


def num_letters(line: str) -> int:
    """Letters of a line (combining marks are not counted)."""
    return len(_NOT_A_LETTER.sub("", line))


def normalise(
    documents: list[Document],
    ledger: Ledger,
    *,
    has_spaces: bool,
    max_word_characters: int,
    english_lines: Collection[str],
) -> list[Prepared]:
    """Repair every document; those of which nothing stays are dropped as `empty`.

    `english_lines` are the normalised English lines that count as untranslated here.
    """
    overlong = _overlong(max_word_characters, has_spaces=has_spaces)
    repaired = (_repair(document, ledger, overlong, english_lines) for document in documents)
    return [prepared for prepared in repaired if prepared is not None]


def _repair(
    document: Document,
    ledger: Ledger,
    overlong: re.Pattern[str],
    english_lines: Collection[str],
) -> Prepared | None:
    lines: list[str] = []
    seen: set[str] = set()
    repeated = repeated_characters = total = total_characters = 0
    for number, raw in enumerate(document.text.split("\n"), start=1):
        line = normalise_line(raw)
        cut = normalise_line(overlong.sub(" ", line)) if overlong.search(line) else line
        total += bool(cut)
        total_characters += len(cut)
        reason = _reason(line, cut, seen, english_lines)
        if reason is not None:
            ledger.drop("lines", f"{document.id}:{number}", FILTER, reason, line)
        if reason == "repeated-line":
            repeated += 1
            repeated_characters += len(cut)
        elif cut and reason in (None, "overlong-word"):
            seen.add(cut)
            lines.append(cut)
    if not lines:
        ledger.drop("documents", document.id, FILTER, "empty", document.text)
        return None
    return Prepared(
        replace(document, text="\n".join(lines)),
        duplicate_line_share=repeated / total,
        duplicate_line_character_share=repeated_characters / total_characters,
    )


def _overlong(max_characters: int, *, has_spaces: bool) -> re.Pattern[str]:
    # Without spaces a whole paragraph is one run; there only a run of ASCII is no prose.
    run = r"\S" if has_spaces else "[!-~]"
    return re.compile(f"{run}{{{max_characters + 1},}}")


def _reason(line: str, cut: str, seen: set[str], english_lines: Collection[str]) -> str | None:
    if line != cut:
        return "overlong-word"
    if line in seen:
        return "repeated-line"
    if _URL_ONLY.match(line):
        return "url-only"
    if line in english_lines:
        return "copy-of-english"
    return None
