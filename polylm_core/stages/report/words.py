"""Numbers and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from polylm_core.languages import get_language

NOTHING = "—"
STREAM_SEPARATOR = "-"
RIGHT_TO_LEFT = frozenset({"Adlm", "Arab", "Hebr", "Nkoo", "Rohg", "Syrc", "Thaa"})
"""ISO 15924 codes of the living scripts that Unicode (UAX 9) writes from right to left."""


def count(value: float) -> str:
    """12345 as 12,345."""
    return f"{value:,.0f}"


def short_count(value: float) -> str:
    """3012345 as 3.0 million."""
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.1f} {word}"
    return count(value)


def size(num_bytes: float) -> str:
    """1234567 as 1.2 MB."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= factor:
            return f"{num_bytes / factor:,.1f} {unit}"
    return f"{num_bytes:,.0f} bytes"


def duration(seconds: float) -> str:
    """245.3 as 4 min 05 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def percent(share: float | None) -> str:
    """0.1234 as 12.3 %."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def decimal(value: float | None, digits: int = 2) -> str:
    """2.3456 as 2.35."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def interval(score: Mapping[str, Any], digits: int = 2, factor: float = 1) -> str:
    """The 95 % interval of a score: 2.31 to 2.40."""
    if score["low"] is None or score["high"] is None:
        return NOTHING
    # With zero added, what rounds to nothing has no minus before it.
    low, high = (round(factor * score[end], digits) + 0.0 for end in ("low", "high"))
    return f"{low:.{digits}f} to {high:.{digits}f}"


def name(language: str) -> str:
    """A language's English name; of a stream of pairs, both."""
    if language == "":
        return "All languages"
    codes = language.split(STREAM_SEPARATOR)
    return " + ".join(get_language(code).english_name for code in codes)


def direction(language: str) -> Literal["ltr", "rtl"]:
    """The direction a language is written in, as HTML's `dir`."""
    return "rtl" if get_language(language).script in RIGHT_TO_LEFT else "ltr"


def tag(language: str) -> str:
    """The language tag that browsers and fonts know a language by."""
    return get_language(language).bcp47


def small(value: float) -> str:
    """A figure of at least two digits that is never rounded to nothing: 0.0062, 1.31, 12.4."""
    if value == 0:
        return "0"
    digits = max(0, 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 6)}f}" if abs(value) >= 1e-6 else f"{value:.1e}"


def capital(text: str) -> str:
    """A text that begins a sentence; `chrF` and the like stay as they are."""
    first = text.split(" ")[0]
    return text if first != first.lower() else text[:1].upper() + text[1:]


def unbroken(text: str) -> str:
    """A text whose percent signs stay on the line of their number."""
    return text.replace(" %", "\u00a0%")


def listed(words: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
