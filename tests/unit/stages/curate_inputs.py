"""Real text for the tests of curate: the Universal Declaration, as the default recipe has it."""

from __future__ import annotations

import functools
import lzma
from itertools import groupby
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "data/00_sources/udhr"


@functools.cache
def article_texts(language: str, number: int = 12) -> list[str]:
    """The first articles in one language, their paragraphs a line each."""
    keys = lzma.open(SOURCE / "keys.txt.xz", "rt", encoding="utf-8").read().split("\n")
    text = lzma.open(SOURCE / f"{language}.txt.xz", "rt", encoding="utf-8").read().split("\n")
    units = [(key.partition("\t")[0], line) for key, line in zip(keys, text, strict=True) if line]
    grouped = groupby(units, key=lambda unit: unit[0])
    articles = ["\n".join(line for _, line in lines) for _, lines in grouped]
    return articles[:number]
