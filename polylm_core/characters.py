"""Texts as bytes, and what every code point is: the ground the native kernels stand on.

In: strings or an Arrow column. Out: one flat UTF-8 buffer with the bounds of each text, and a table
with a byte of properties for each code point. The tables are made from `unicodedata`, so a kernel
and plain Python ask the same authority.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from polylm_core.kernels import kernel
from polylm_core.languages import CodePointRanges

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

SPACE = 1
"""`str.isspace`: what `str.split` splits at."""
INVISIBLE = 2
"""Controls, soft hyphen, zero-width space, direction marks and overrides, word joiner, byte order
mark. ZWNJ and ZWJ (U+200C, U+200D) are not: Persian and the scripts of India spell with them."""
LETTER = 4
"""`str.isalpha`."""
DIGIT = 8
"""`str.isdigit`."""
SEPARATOR = 16
"""Punctuation, symbols and spaces, which say nothing of the language or the wording. By blocks and
not by category, which would also take the vowel signs of Thai and of the scripts of India."""
SYMBOL = 32
"""Categories P and S: a word of these alone is no word (Gopher, Rae et al. 2021, §A1.1)."""
SENTENCE_END = 64
"""Marks that end a sentence: Unicode's Sentence_Terminal below U+10000, with Khmer's other ends of
parts. FineWeb's rule on line ends asks for them (datatrove has the same marks)."""
BULLET = 128
"""What a list's line begins with."""

_INVISIBLE: CodePointRanges = (
    (0x00, 0x08),
    (0x0E, 0x1B),
    (0x7F, 0x84),
    (0x86, 0x9F),
    (0xAD, 0xAD),
    (0x61C, 0x61C),
    (0x180E, 0x180E),
    (0x200B, 0x200B),
    (0x200E, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x2064),
    (0x2066, 0x206F),
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
)
_SEPARATORS: CodePointRanges = (
    (0x21, 0x2F),
    (0x3A, 0x40),
    (0x5B, 0x60),
    (0x7B, 0xBF),
    (0x1360, 0x1368),
    (0x2000, 0x206F),
    (0x20A0, 0x20CF),
    (0x2190, 0x2BFF),
    (0x3000, 0x3004),
    (0x3008, 0x301F),
    (0xFF01, 0xFF0F),
    (0xFF1A, 0xFF20),
)
# fmt: off
_SENTENCE_ENDS: CodePointRanges = (
    (0x21, 0x21), (0x2E, 0x2E), (0x3F, 0x3F), (0x589, 0x589), (0x61D, 0x61F), (0x6D4, 0x6D4),
    (0x700, 0x702), (0x7F9, 0x7F9), (0x837, 0x837), (0x839, 0x839), (0x83D, 0x83E), (0x964,
    0x965), (0x104A, 0x104B), (0x1362, 0x1362), (0x1367, 0x1368), (0x166E, 0x166E), (0x1735,
    0x1736), (0x17D4, 0x17D6), (0x17D9, 0x17DA), (0x1803, 0x1803), (0x1809, 0x1809), (0x1944,
    0x1945), (0x1AA8, 0x1AAB), (0x1B5A, 0x1B5B), (0x1B5E, 0x1B5F), (0x1B7D, 0x1B7E), (0x1C3B,
    0x1C3C), (0x1C7E, 0x1C7F), (0x203C, 0x203D), (0x2047, 0x2049), (0x2E2E, 0x2E2E), (0x2E3C,
    0x2E3C), (0x2E53, 0x2E54), (0x3002, 0x3002), (0xA4FF, 0xA4FF), (0xA60E, 0xA60F), (0xA6F3,
    0xA6F3), (0xA6F7, 0xA6F7), (0xA876, 0xA877), (0xA8CE, 0xA8CF), (0xA92F, 0xA92F), (0xA9C8,
    0xA9C9), (0xAA5D, 0xAA5F), (0xAAF0, 0xAAF1), (0xABEB, 0xABEB), (0xFE52, 0xFE52), (0xFE56,
    0xFE57), (0xFF01, 0xFF01), (0xFF0E, 0xFF0E), (0xFF1F, 0xFF1F), (0xFF61, 0xFF61),
)
# fmt: on
_BULLETS = "•‣◦▪-*–·"

NUM_CODE_POINTS = sys.maxunicode + 1
SHARP_S = 0xDF
"""ß, which is SS in upper case."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Several texts in one buffer."""

    values: Bytes
    """UTF-8 of all texts, one after the other."""
    offsets: Offsets
    """Text i is `values[offsets[i]:offsets[i + 1]]`; one more than there are texts."""

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.offsets) - 1

    @property
    def sizes(self) -> Offsets:
        """UTF-8 bytes of each text."""
        return np.diff(self.offsets)

    def text(self, index: int) -> str:
        """One text."""
        return self.values[self.offsets[index] : self.offsets[index + 1]].tobytes().decode()

    def pieces(self, max_bytes: int) -> Iterator[Texts]:
        """The texts in stretches of about so many bytes, without copying; a text stays whole."""
        ends = np.flatnonzero(np.diff(self.offsets[1:] // max_bytes)) + 1
        for first, end in pairwise(np.unique([0, *ends, len(self)])):
            start, stop = self.offsets[first], self.offsets[end]
            yield Texts(self.values[start:stop], self.offsets[first : end + 1] - start)

    def to_arrow(self) -> pa.Array:
        """A string column without copying."""
        buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.values)]
        return pa.Array.from_buffers(pa.large_string(), len(self), buffers)

    def take(self, rows: npt.NDArray[np.int64]) -> Texts:
        """The texts at some places, in that order."""
        return from_arrow(self.to_arrow().take(pa.array(rows)))


def from_strings(texts: Sequence[str]) -> Texts:
    """Put strings into one buffer; a lone surrogate raises UnicodeEncodeError."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(each) for each in encoded], out=offsets[1:])
    return Texts(np.frombuffer(b"".join(encoded), np.uint8), offsets)


def from_arrow(column: pa.Array | pa.ChunkedArray) -> Texts:
    """Take a string column's own buffers; no nulls may be in it."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    column = column.cast(pa.large_string())
    if len(column) == 0:
        return Texts(np.zeros(0, np.uint8), np.zeros(1, np.int64))
    _, bounds, data = column.buffers()
    whole = np.frombuffer(bounds, np.int64)
    offsets = whole[column.offset : column.offset + len(column) + 1]
    values = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    first = offsets[0]
    return Texts(values[first : offsets[-1]], offsets - first)


def composed(texts: Sequence[str]) -> list[str]:
    """The texts in NFC; the quick check spares nearly all of them the work."""
    return [
        text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)
        for text in texts
    ]


@functools.cache
def properties() -> Bytes:
    """One byte of the flags above for each code point, uint8[1,114,112]."""
    table = np.zeros(NUM_CODE_POINTS, np.uint8)
    for point in range(NUM_CODE_POINTS):
        character = chr(point)
        category = unicodedata.category(character)
        if category == "Cn" or category == "Co":
            continue
        table[point] = (
            SPACE * character.isspace()
            | LETTER * character.isalpha()
            | DIGIT * character.isdigit()
            | SYMBOL * (category[0] in "PS")
        )
    for ranges, flag in (
        (_INVISIBLE, INVISIBLE),
        (_SEPARATORS, SEPARATOR),
        (_SENTENCE_ENDS, SENTENCE_END),
    ):
        for low, high in ranges:
            table[low : high + 1] |= flag
    table[(table & SPACE) != 0] |= SEPARATOR
    for character in _BULLETS:
        table[ord(character)] |= BULLET
    return table


@functools.cache
def folded() -> npt.NDArray[np.int32]:
    """The code point that stands for each in comparisons without case, int32[1,114,112].

    Unicode's case folding where it is one code point. The Turkish i's are one letter, because
    upper case mixes them up; a capital sharp s is a small one (`tokens` compares it as ss).
    """
    table = np.arange(NUM_CODE_POINTS, dtype=np.int32)
    for point in range(0x20000):  # no cased letter lies beyond
        lower = chr(point).casefold()
        if len(lower) == 1:
            table[point] = ord(lower)
    table[[ord("İ"), ord("ı")]] = ord("i")
    table[ord("ẞ")] = SHARP_S
    return table


@functools.lru_cache(maxsize=256)
def membership(ranges: CodePointRanges) -> npt.NDArray[np.bool_]:
    """Whether a code point lies in one of the ranges, bool[1,114,112]."""
    table = np.zeros(NUM_CODE_POINTS, np.bool_)
    for low, high in ranges:
        table[low : high + 1] = True
    return table


@kernel
def decode_at(values: Bytes, position: Any) -> tuple[Any, Any]:
    """The code point at a byte position of valid UTF-8, and the position after it."""
    first = np.int64(values[position])
    if first < 0x80:
        return first, position + 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | (np.int64(values[position + 1]) & 0x3F), position + 2
    second = np.int64(values[position + 1]) & 0x3F
    third = np.int64(values[position + 2]) & 0x3F
    if first < 0xF0:
        return (first & 0x0F) << 12 | second << 6 | third, position + 3
    fourth = np.int64(values[position + 3]) & 0x3F
    return (first & 0x07) << 18 | second << 12 | third << 6 | fourth, position + 4
