"""The compiled scan for personal data: which texts might hold any, and where their digits are."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from polylm_core.characters import Offsets, decode_at
from polylm_core.kernels import inlined, kernel
from polylm_core.ngram_model.folding import folding
from polylm_core.ngram_model.probing import Bytes, Int, Numbers, Words

LEAST_PHONE_DIGITS, MOST_PHONE_DIGITS = 7, 15  # ITU-T E.164: at most 15

HAS_AT, HAS_DOTS, HAS_COLONS, HAS_DIGITS = 1, 2, 4, 8

_OTHER, _DIGIT, _AT, _COLON, _LEAD = range(5)
"""What a byte can begin: `_LEAD` is the first one of characters that may be digits or an @."""

_MOST_GAP_BYTES = 6
"""More separators between two digits end a number."""

MOST_RUNS = 256
"""Runs of digits that are told apart in a text; the last one holds all that follow."""


@functools.cache
def byte_kinds() -> tuple[Bytes, Words]:
    """What each byte can begin, and the folded form of each code point."""
    kinds = np.zeros(256, np.uint8)
    kinds[ord("0") : ord("9") + 1] = _DIGIT
    kinds[ord("@")], kinds[ord(":")] = _AT, _COLON
    folded = folding().folded
    for point in (*np.flatnonzero(folded == ord("0")).tolist(), ord("＠")):
        if point >= 0x80:
            kinds[chr(point).encode()[0]] = _LEAD
    return kinds, folded


@kernel
def suspect(data: Bytes, kinds: Bytes, folded: Words, runs: Numbers) -> tuple[Int, Int]:
    """What a text might hold: an @, digits with three dots, hexadecimals with colons, 7 digits.

    Returned with the number of runs of 7 digits, whose first and last bytes + 1 go into `runs`.
    """
    found, at, end, num_runs, first_digit = 0, 0, len(data), 0, 0
    digits, dots, colons, after_digit, after_colon = 0, 0, 0, 0, 0
    while at < end:
        start, at = at, at + 1
        kind: Int = kinds[data[start]]
        if kind == _OTHER:
            continue
        if kind == _LEAD:
            point, at = decode_at(data, start)
            if point < len(folded) and folded[point] == 48:
                kind = _DIGIT
            elif point == 0xFF20:
                kind = _AT
        if kind == _AT:
            found |= HAS_AT
        elif kind == _COLON:
            colons = colons + 1 if _is_hexadecimal(data, after_colon, start) else 1
            after_colon = at
            if colons >= 2:
                found |= HAS_COLONS
        elif kind == _DIGIT:
            gap = _dots_between(data, after_digit, start)
            if gap < 0:
                digits, dots, gap = 0, 0, 0
            if digits == 0:
                first_digit = start
            digits, dots, after_digit = digits + 1, dots + gap, at
            if digits >= LEAST_PHONE_DIGITS:
                if digits == LEAST_PHONE_DIGITS and num_runs < len(runs):
                    runs[num_runs, 0] = first_digit
                    num_runs += 1
                found, runs[num_runs - 1, 1] = found | HAS_DIGITS, at
            if dots >= 3:
                found |= HAS_DOTS
    return found, num_runs


@kernel
def suspect_each(
    data: Bytes, offsets: Offsets, kinds: Bytes, folded: Words
) -> npt.NDArray[np.bool_]:
    """For each text whether it may hold something to mask."""
    found = np.zeros(len(offsets) - 1, np.bool_)
    runs = np.empty((MOST_RUNS, 2), np.int64)
    for text in range(len(found)):
        suspected, _ = suspect(data[offsets[text] : offsets[text + 1]], kinds, folded, runs)
        found[text] = suspected != 0
    return found


@inlined
def _dots_between(data: Bytes, start: Int, end: Int) -> Int:
    """Full stops in a gap between digits; -1 if it holds more than separators."""
    if end - start > _MOST_GAP_BYTES:
        return -1
    dots = 0
    for at in range(start, end):
        byte = data[at]
        if byte == 46:
            dots += 1
        elif byte < 0x80 and byte not in (32, 40, 41, 45):
            return -1
    return dots


@inlined
def _is_hexadecimal(data: Bytes, start: Int, end: Int) -> bool:
    if end - start > 4:
        return False
    for at in range(start, end):
        byte = data[at] | 32
        if not (97 <= byte <= 102 or 48 <= byte <= 57):
            return False
    return True


def suspects(data: Bytes, offsets: Offsets) -> npt.NDArray[np.int64]:
    """Numbers of the texts that may hold something to mask, of texts in one buffer."""
    return np.flatnonzero(suspect_each(data, offsets, *byte_kinds()))
