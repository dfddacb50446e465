"""Parts of a text that no translator may touch: found, masked by markers, and put back.

Code between backticks, tags, entities, addresses and placeholders are protected. Text of other
kinds that looks like one is left alone by the translator too: the worst of it is a word that stays
untranslated, where a harmed placeholder breaks what uses it.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from polylm_core.translators.config import NUMBER

_AFTER_URL = r"[^\s<>\"`(){}\[\]\\^|.,;:!?'»”’…，。；：！？、）】」』*]"
PROTECTED = re.compile(
    "|".join(
        (
            r"(?P<fence>```[\s\S]*?(?:```|\Z)|~~~[\s\S]*?(?:~~~|\Z))",
            r"(?P<code>(?<!`)(?P<ticks>`{1,2})(?!`)[^\n]+?(?<!`)(?P=ticks)(?!`))",
            r"<!--[\s\S]{0,2000}?-->|<!\[CDATA\[[\s\S]{0,2000}?\]\]>|<[?!][A-Za-z][^<>]*>",
            r"</?[A-Za-z][\w:.-]*(?:\s(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)?/?>",
            r"</?[A-Za-z][^<>\n]*>|</?[0-9]+\s*/?>",
            r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});",
            r"(?:(?:https?|ftps?|wss?|file|s3|git)://|www\.)"
            rf"(?:[^\s<>\"`()]|\([^\s()<>\"`]*\))*(?:{_AFTER_URL}|\([^\s()<>\"`]*\))",
            r"(?:mailto:)?[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+",
            r"\$\{[^{}\n]+\}|\$\[[^\[\]\n]+\]|\{\{[^{}\n]*\}\}|%\{[^{}\s]+\}",
            r"\{[\w.\[\]!:<>^+,#%-]*\}",
            r"%\([^()\s]+\)[-#0+]*[0-9]*(?:\.[0-9]+)?[a-zA-Z]|%[0-9]+\$[-#0+]*[0-9]*[a-zA-Z@]",
            r"%%|%[-#0+]*[0-9]*(?:\.[0-9]+)?(?:hh|h|ll|l|z)?[diouxXeEfFgGcrsa@](?![A-Za-z])",
            r"%[A-Z][A-Z_0-9]+%?|\$[A-Za-z_]\w*|\$[0-9]{1,2}(?![0-9]|[.,][0-9])",
        )
    )
)


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a text."""

    text: str
    is_protected: bool


def parts_of(text: str) -> list[Part]:
    """Split a text into protected parts and those between; joined they are the text again."""
    parts: list[Part] = []
    end = 0
    for match in PROTECTED.finditer(text):
        between = text[end : match.start()]
        if between and (between.strip() or not parts):
            parts.append(Part(between, False))
            parts.append(Part(match.group(), True))
        elif parts and parts[-1].is_protected:  # one marker for neighbours
            parts[-1] = Part(parts[-1].text + between + match.group(), True)
        else:
            parts.append(Part(match.group(), True))
        end = match.end()
    if end < len(text):
        parts.append(Part(text[end:], False))
    return parts


def has_letters(text: str) -> bool:
    """Whether there is anything to translate."""
    return any(character.isalpha() for character in text)


def spans_of(text: str) -> Counter[str]:
    """The protected stretches of a text, one by one."""
    return Counter(match.group() for match in PROTECTED.finditer(text))


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with markers in place of its protected parts."""

    text: str
    marker: str
    """The form of the markers."""
    protected: tuple[tuple[int, str], ...]
    """Number of each marker, and what it stands for."""
    num_alike: int
    """Stretches of the text itself that look like a marker."""

    def restore(self, translated: str) -> str | None:
        """Put the protected parts back; none unless each marker came back exactly once."""
        exact, alike = _patterns(self.marker)
        by_number = dict(self.protected)
        own = [int(number) for number in exact.findall(translated) if int(number) in by_number]
        if Counter(own) != Counter(by_number.keys()):
            return None
        rest = exact.sub(lambda m: "" if int(m[1]) in by_number else m[0], translated)
        if len(alike.findall(rest)) > self.num_alike:
            return None
        return exact.sub(lambda m: by_number.get(int(m[1]), m[0]), translated)


def mask(parts: Sequence[Part], marker: str) -> Masked:
    """Replace the protected parts by markers whose numbers the text does not have itself."""
    exact, alike = _patterns(marker)
    plain = "\n".join(part.text for part in parts if not part.is_protected)
    taken = {int(number) for number in exact.findall(plain)}
    numbers = _numbers_without(taken)
    protected: list[tuple[int, str]] = []
    masked: list[str] = []
    for part in parts:
        if part.is_protected:
            number = next(numbers)
            protected.append((number, part.text))
            masked.append(marker.replace(NUMBER, str(number)))
        else:
            masked.append(part.text)
    return Masked("".join(masked), marker, tuple(protected), len(alike.findall(plain)))


def _numbers_without(taken: set[int]) -> Iterator[int]:
    number = 0
    while True:
        if number not in taken:
            yield number
        number += 1


@functools.cache
def _patterns(marker: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Markers as they are, and what a translator may have made of them."""
    before, after = marker.split(NUMBER)
    exact = re.compile(f"{re.escape(before)}(0|[1-9][0-9]{{0,5}}){re.escape(after)}")
    spaced = [r"\s*".join(map(re.escape, side)) for side in (before, after)]
    alike = re.compile(rf"{spaced[0]}\s*\d+\s*{spaced[1]}", re.IGNORECASE)
    return exact, alike
