"""The words of a text as an n-gram model sees them, by the units of `units.py`.

`words` and `characters` are folded as in CCNet (Wenzek et al. 2019, arXiv 1911.00359 §3.3): lower
case, every digit 0. A sentence is a line. Format characters (soft hyphen, joiners) are invisible.
"""

from __future__ import annotations

import functools
import unicodedata
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from polylm_core.ngram_model.units import Unit

BLANK, PART, ALONE, INVISIBLE = 0, 1, 2, 3
"""Classes of a character: between words, part of one, a word by itself, or not there at all."""

_TABLE_POINTS = 0x20000
"""Planes 0 and 1; nearly all of planes 2 and 3 is Han, which has neither case nor digits."""


class Folding(NamedTuple):
    """Tables by code point; points beyond them are letters and stay as they are."""

    classes: npt.NDArray[np.uint8]
    folded: npt.NDArray[np.uint32]


@functools.cache
def folding() -> Folding:
    """The tables of this Python's Unicode version, made once a process."""
    classes = np.empty(_TABLE_POINTS, np.uint8)
    folded = np.arange(_TABLE_POINTS, dtype=np.uint32)
    for point in range(_TABLE_POINTS):
        character = chr(point)
        category = unicodedata.category(character)
        classes[point] = _class_of(category)
        if category == "Nd":
            folded[point] = ord("0")
        elif len(lower := character.lower()) == 1:
            folded[point] = ord(lower)
    return Folding(classes, folded)


def split_lines(text: str, unit: Unit) -> list[list[str]]:
    """The words of each line that has any: the plain reference of the kernels."""
    lines = (line for line in text.split("\n"))
    if unit == "tokens":
        words = [[each.decode() for each in line.encode().split()] for line in lines]
    else:
        words = [_fold(line, alone=unit == "characters") for line in lines]
    return [line for line in words if line]


def _fold(line: str, *, alone: bool) -> list[str]:
    words: list[str] = []
    open_word = False
    for character in line:
        category = _class_of(unicodedata.category(character))
        if category == INVISIBLE:
            continue
        if category == BLANK:
            open_word = False
            continue
        letter = _fold_character(character)
        if category == PART and open_word and not alone:
            words[-1] += letter
        else:
            words.append(letter)
        open_word = category == PART
    return words


def _fold_character(character: str) -> str:
    if unicodedata.category(character) == "Nd":
        return "0"
    lower = character.lower()
    return lower if len(lower) == 1 else character


def _class_of(category: str) -> int:
    if category[0] in "LMN":
        return PART
    if category[0] in "PS":
        return ALONE
    return INVISIBLE if category == "Cf" else BLANK
