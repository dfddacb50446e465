"""Duplicates within a language: equal texts, then nearly equal ones by MinHash-LSH.

Of a group of duplicates the document with the smallest id stays, so the result does not depend on
the order in which documents are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from polylm_core.stages.curate.config import NearDuplicatesConfig
from polylm_core.stages.curate.ledger import Kind, Ledger
from polylm_core.stages.curate.ngrams import Tokens, runs
from polylm_core.stages.curate.normalise import Prepared

if TYPE_CHECKING:
    from datasketch import MinHash

EXACT = "exact-duplicates"
NEAR = "near-duplicates"

Item = TypeVar("Item")


def drop_exact(
    items: Sequence[Item],
    ledger: Ledger,
    *,
    kind: Kind,
    id_of: Callable[[Item], str],
    text_of: Callable[[Item], str],
) -> list[Item]:
    """Keep one item of each text: the one with the smallest id."""
    smallest: dict[bytes, str] = {}
    digests = [hashlib.sha256(text_of(item).encode()).digest() for item in items]
    for item, digest in zip(items, digests, strict=True):
        identifier = id_of(item)
        smallest[digest] = min(smallest.get(digest, identifier), identifier)
    kept = []
    for item, digest in zip(items, digests, strict=True):
        if smallest[digest] == id_of(item):
            kept.append(item)
        else:
            ledger.drop(kind, id_of(item), EXACT, "duplicate", text_of(item))
    return kept


def drop_near(
    documents: Sequence[Prepared], ledger: Ledger, tokens: Tokens, config: NearDuplicatesConfig
) -> list[Prepared]:
    """Keep one document of each group whose shingles are nearly the same.

    Groups are closed: documents a, b and c are one group when a is near b and b is near c.
    """
    shingle = config.shingle_words if tokens.are_words else config.shingle_characters
    ids = [prepared.document.id for prepared in documents]
    shingles = (_shingles(tokens, prepared.document.text, shingle) for prepared in documents)
    smallest = _smallest_of_group(ids, _near_pairs(ids, shingles, config))
    kept = []
    for prepared in documents:
        document = prepared.document
        if smallest[document.id] == document.id:
            kept.append(prepared)
        else:
            ledger.drop("documents", document.id, NEAR, "near-duplicate", document.text)
    return kept


def _shingles(tokens: Tokens, text: str, length: int) -> list[int]:
    hashes = tokens.hash(tokens.split(text))
    unique = np.unique(runs(hashes, min(length, len(hashes))))
    return list(map(int, unique >> np.uint64(32)))  # MinHash permutes 32-bit values


def _near_pairs(
    ids: Sequence[str], shingles: Iterable[list[int]], config: NearDuplicatesConfig
) -> list[tuple[str, str]]:
    # datasketch brings SciPy along: 0.7 s that a process without near duplicates need not pay.
    from datasketch import MinHash, MinHashLSH

    num_permutations = config.bands * config.rows
    lsh = MinHashLSH(num_perm=num_permutations, params=(config.bands, config.rows))
    # The seed is part of what a near duplicate is, like the number of permutations.
    empty = MinHash(num_permutations, seed=1, hashfunc=int, scheme="affine32")
    seen: dict[str, MinHash] = {}
    pairs = []
    for identifier, values in zip(ids, shingles, strict=True):
        minhash = empty.copy()
        minhash.update_batch(values)
        pairs += [
            (identifier, other)
            for other in lsh.query(minhash)
            if minhash.jaccard(seen[other]) >= config.min_jaccard
        ]
        lsh.insert(identifier, minhash)
        seen[identifier] = minhash
    return pairs


def _smallest_of_group(ids: Sequence[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    parent = {identifier: identifier for identifier in ids}

    def root(identifier: str) -> str:
        while parent[identifier] != identifier:
            parent[identifier] = parent[parent[identifier]]
            identifier = parent[identifier]
        return identifier

    for left, right in pairs:
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    return {identifier: root(identifier) for identifier in ids}
