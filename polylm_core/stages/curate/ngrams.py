"""Texts as numbers: a 64-bit hash for every token and for every run of n tokens.

A token is a word, or a character in languages without spaces between words. Repetition, near
duplicates and contamination all ask about runs of tokens; asking numpy arrays instead of Python
strings makes the whole stage several times faster. Hashes are of the text only (BLAKE2), so they
are the same in every process and on every machine. At 64 bits, two different runs among 100
million collide with a probability of about 0.0003.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Lengths = npt.NDArray[np.int64]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so multiplying by it modulo 2**64 loses nothing; the golden ratio, as usual in hashing."""


class Tokens:
    """Splits the texts of one language into hashed tokens; remembers the words it has hashed."""

    def __init__(self, words: Literal["spaces", "none"]) -> None:
        self.are_words = words == "spaces"
        self._hashes: dict[str, int] = {}

    def split(self, text: str) -> list[str]:
        """The words of a text, or its characters without the spaces."""
        return text.split() if self.are_words else list("".join(text.split()))

    def hash(self, tokens: list[str]) -> Hashes:
        """One hash a token."""
        known = self._hashes
        for token in tokens:
            if token not in known:
                digest = hashlib.blake2b(token.encode(), digest_size=8).digest()
                known[token] = int.from_bytes(digest, "little")
        return np.fromiter((known[token] for token in tokens), np.uint64, len(tokens))


def runs(hashes: Hashes, n: int) -> Hashes:
    """One hash for each run of n tokens, `len(hashes) - n + 1` in all (none if there are fewer)."""
    count = max(len(hashes) - n + 1, 0)
    result = np.zeros(count, np.uint64)
    for offset in range(n if count else 0):
        result = result * _MULTIPLIER + hashes[offset : offset + count]
    return result


def top_run_share(hashes: Hashes, lengths: Lengths, n: int) -> float:
    """Characters within the most frequent run of n tokens, of all; 0 if none occurs twice.

    `lengths` are the tokens' characters. Gopher's "top n-gram" rule.
    """
    _, first, counts = np.unique(runs(hashes, n), return_index=True, return_counts=True)
    if not len(counts) or counts.max() < 2:
        return 0.0
    ends = np.concatenate([[0], np.cumsum(lengths)])
    characters = ends[first + n] - ends[first]
    return float((counts * characters)[counts == counts.max()].max() / ends[-1])


def duplicate_run_share(hashes: Hashes, lengths: Lengths, n: int) -> float:
    """Characters within runs of n tokens that stood before, of all; overlaps count once.

    Gopher's "duplicate n-grams" rule.
    """
    all_runs = runs(hashes, n)
    _, first = np.unique(all_runs, return_index=True)
    if len(first) == len(all_runs):
        return 0.0
    again = np.ones(len(all_runs), np.int64)
    again[first] = 0
    # A token is covered when one of the n runs that it can be in is a repeated one.
    covered = np.convolve(again, np.ones(n, np.int64)) > 0
    return float(lengths[covered].sum() / lengths.sum())
