"""Held-out pairs that are worth translating, in a seeded order."""

from __future__ import annotations

import hashlib
from pathlib import Path

from polylm_core.errors import StageError
from polylm_core.records import Pair, read_pairs


def sentence_pairs(path: Path, *, min_english_words: int, seed: int) -> list[Pair]:
    """Pairs with a sentence's worth of English, each text once, in an order of `seed`."""

    def order(pair: Pair) -> bytes:
        return hashlib.sha256(f"{seed}\0{pair.id}".encode()).digest()

    kept: list[Pair] = []
    seen: set[str] = set()
    for pair in sorted(read_pairs(path), key=order):
        if len(pair.text_a.split()) < min_english_words or {pair.text_a, pair.text_b} & seen:
            continue
        seen |= {pair.text_a, pair.text_b}
        kept.append(pair)
    if not kept:
        raise StageError(
            f"{path}: no held-out pair has {min_english_words} English words; lower "
            "evaluate.min_english_words or raise curate.held_out.share"
        )
    return kept
