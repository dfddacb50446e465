"""Duplicates among all documents of a language: equal texts, then nearly equal ones.

In: what was prepared. Out: a verdict and the number of copies for each document. Of a group of
duplicates the document with the smallest key stays, so the result depends neither on the order in
which documents are read nor on how the input was cut. Memory grows by some 140 bytes a document of
the largest language, and 8 a pair that was compared and is not near.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from polylm_core.hashing import NO_HASHES, Hashes
from polylm_core.kernels import kernel
from polylm_core.languages import get_language
from polylm_core.minhash import Signatures, agreement, jaccard, shingles
from polylm_core.stages.curate.config import NearDuplicatesConfig
from polylm_core.stages.curate.rows import Places
from polylm_core.stages.curate.scratch import Array, Prepared
from polylm_core.tokens import tokenise

SURE_MARGIN = 1.5
"""Over the square root of a signature's values. 100 values estimate a similarity of 0.8 with a
standard deviation of 0.04: further than 0.15 from the threshold they decide alone, nearer the texts
are compared."""
MAX_CENTRES = 8
"""Documents of one bucket that the others are compared with, one after the other."""
ESTIMATED_PAIRS = 8192
"""Pairs whose signatures are held in memory at once."""
COMPARED_BYTES = 1 << 24
"""Text of pairs whose shingles are held in memory at once; of a pair at least."""


@dataclass(frozen=True)
class Index:
    """The documents of one language, numbered over all units."""

    parts: Sequence[Prepared]
    keys: Hashes
    firsts: Places
    """Number of the first document of each part, and of all documents."""

    @classmethod
    def of(cls, parts: Sequence[Prepared]) -> Index:
        """Number the documents of some parts."""
        keys = [np.array(part.array("keys")) for part in parts]
        firsts = np.cumsum([0, *map(len, keys)])
        return cls(parts, np.concatenate([np.zeros(0, np.uint64), *keys]), firsts)

    def array(self, name: str) -> Array:
        """An array over all parts."""
        # Copied: a mapped file stays open, and there may be more parts than files to open.
        return np.concatenate([np.array(part.array(name)) for part in self.parts])

    def band(self, number: int) -> Hashes:
        """The band keys of all documents."""
        return np.concatenate([np.array(part.array("bands")[number]) for part in self.parts])

    def gather(self, name: str, documents: Places) -> Array:
        """Rows of an array at ascending numbers of documents, read part by part."""
        return np.concatenate(
            [np.asarray(part.array(name)[inside]) for part, inside in self.within(documents)]
        )

    def within(self, documents: Places) -> list[tuple[Prepared, Places]]:
        """Ascending numbers of documents as places in their parts."""
        cuts = np.searchsorted(documents, self.firsts)
        return [
            (part, documents[cuts[i] : cuts[i + 1]] - self.firsts[i])
            for i, part in enumerate(self.parts)
            if cuts[i + 1] > cuts[i]
        ]


def exact_groups(index: Index, judged: npt.NDArray[np.bool_]) -> Places:
    """For each document the number of the one that stays of those with the same text.

    Documents that are not judged stay for themselves.
    """
    stays = np.arange(len(index.keys))
    places = np.flatnonzero(judged)
    exact = index.array("exact")[places]
    order = np.lexsort((index.keys[places], exact[:, 1], exact[:, 0]))
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (exact[order][1:] != exact[order][:-1]).any(axis=1)
    firsts = places[order[is_first]]
    stays[places[order]] = firsts[np.cumsum(is_first) - 1]
    return stays


def near_groups(
    index: Index, stays: Places, judged: npt.NDArray[np.bool_], config: NearDuplicatesConfig
) -> Places:
    """Join documents that are nearly equal; for each the number of the one that stays.

    Groups are closed: documents a, b and c are one group when a is near b and b is near c.
    Documents that are not judged stay for themselves.
    """
    judge = _Judge(index, config)
    candidates = np.flatnonzero(
        judged & (stays == np.arange(len(stays))) & (index.array("shingles") > 0)
    )
    parents = np.arange(len(index.keys))
    for number in range(config.bands):
        band = index.band(number)[candidates]
        order = np.lexsort((index.keys[candidates], band))
        members, bucket = candidates[order], band[order]
        for _ in range(MAX_CENTRES):
            centre = np.flatnonzero(np.concatenate([[True], bucket[1:] != bucket[:-1]]))
            size = np.diff([*centre, len(bucket)])
            centres = np.repeat(members[centre], size)
            is_other = np.ones(len(members), np.bool_)
            is_other[centre] = False
            apart = is_other & (_roots(parents, centres) != _roots(parents, members))
            joined = judge.are_near(centres[apart], members[apart])
            _join(parents, centres[apart][joined], members[apart][joined])
            left = np.flatnonzero(apart)[~joined]
            members, bucket = members[left], bucket[left]
            if len(members) < 2:
                break
        judge.end_band()
    roots = _roots(parents, stays)
    order = np.lexsort((index.keys, roots))
    is_first = np.concatenate([[True], np.diff(roots[order]) != 0]) if len(order) else order
    found = np.empty(len(roots), np.int64)
    found[order] = order[is_first][np.cumsum(is_first) - 1]
    return found


class _Judge:
    """Tells whether two documents are as similar as the threshold asks."""

    def __init__(self, index: Index, config: NearDuplicatesConfig) -> None:
        self._index, self._config = index, config
        self._margin = SURE_MARGIN / (config.bands * config.rows) ** 0.5
        self._apart = NO_HASHES
        """Pairs of the bands before whose texts were compared and are not near, sorted."""
        self._of_band: list[Hashes] = []
        """Such pairs of this band, which does not ask for a pair twice."""

    def are_near(self, left: Places, right: Places) -> npt.NDArray[np.bool_]:
        """For each pair of documents, whether it is near."""
        near = np.zeros(len(left), np.bool_)
        if not len(left):
            return near
        for first in range(0, len(left), ESTIMATED_PAIRS):
            chunk = slice(first, first + ESTIMATED_PAIRS)
            near[chunk] = self._chunk(left[chunk], right[chunk])
        return near

    def _chunk(self, left: Places, right: Places) -> npt.NDArray[np.bool_]:
        documents = np.unique(np.concatenate([left, right]))
        signatures = self._index.gather("signatures", documents)
        a, b = np.searchsorted(documents, left), np.searchsorted(documents, right)
        estimate = _agreements(signatures, a, b)
        threshold = self._config.min_jaccard
        near: npt.NDArray[np.bool_] = estimate >= min(threshold + self._margin, 1.0)
        unsure = np.flatnonzero(~near & (estimate >= threshold - self._margin))
        pairs = _pairs(left[unsure], right[unsure])
        is_new = ~_are_in(pairs, self._apart)
        unsure, pairs = unsure[is_new], pairs[is_new]
        near[unsure] = self._similar(left[unsure], right[unsure])
        self._of_band.append(pairs[~near[unsure]])
        return near

    def end_band(self) -> None:
        """Remember the pairs of a band for the next ones."""
        self._apart = np.sort(np.concatenate([self._apart, *self._of_band]))
        self._of_band = []

    def _similar(self, left: Places, right: Places) -> npt.NDArray[np.bool_]:
        """Whether each pair is as similar as the threshold asks, as many at once as fit."""
        if not len(left):
            return np.zeros(0, np.bool_)
        documents = np.unique(np.concatenate([left, right]))
        sizes = self._index.gather("sizes", documents)
        of_pairs = sum(sizes[np.searchsorted(documents, side)] for side in (left, right))
        cuts = np.flatnonzero(np.diff(np.cumsum(of_pairs) // COMPARED_BYTES)) + 1
        found = [
            self._compare(a, b)
            for a, b in zip(np.split(left, cuts), np.split(right, cuts), strict=True)
        ]
        return np.concatenate(found)

    def _compare(self, left: Places, right: Places) -> npt.NDArray[np.bool_]:
        """The exact Jaccard similarity of the shingles against the threshold."""
        documents = np.unique(np.concatenate([left, right]))
        sets: list[Hashes] = []
        for part, places in self._index.within(documents):
            texts = part.rows(places).texts
            are_words = get_language(part.language).words == "spaces"
            length = self._config.shingle_words if are_words else self._config.shingle_characters
            hashed, offsets = shingles(tokenise(texts, are_words=are_words), length)
            bounds = pairwise(offsets)
            sets += [np.unique(hashed[start:end]) for start, end in bounds]
        a, b = np.searchsorted(documents, left), np.searchsorted(documents, right)
        similar = [jaccard(sets[i], sets[j]) for i, j in zip(a, b, strict=True)]
        return np.array(similar, np.float64) >= self._config.min_jaccard


def _pairs(left: Places, right: Places) -> Hashes:
    """A number for each pair of documents, of which a language has fewer than 2**32."""
    return left.astype(np.uint64) << np.uint64(32) | right.astype(np.uint64)


def _are_in(values: Hashes, known: Hashes) -> npt.NDArray[np.bool_]:
    """Whether each value is among some sorted ones."""
    places = np.searchsorted(known, values)
    found = np.zeros(len(values), np.bool_)
    inside = places < len(known)
    found[inside] = known[places[inside]] == values[inside]
    return found


@kernel
def _agreements(signatures: Signatures, left: Places, right: Places) -> npt.NDArray[np.float64]:
    found = np.empty(len(left), np.float64)
    for pair in range(len(left)):
        found[pair] = agreement(signatures[left[pair]], signatures[right[pair]])
    return found


@kernel
def _roots(parents: Places, documents: Places) -> Places:
    found = np.empty(len(documents), np.int64)
    for place in range(len(documents)):
        node = documents[place]
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        found[place] = node
    return found


@kernel
def _join(parents: Places, left: Places, right: Places) -> None:
    for pair in range(len(left)):
        a, b = left[pair], right[pair]
        while parents[a] != a:
            a = parents[a]
        while parents[b] != b:
            b = parents[b]
        parents[max(a, b)] = min(a, b)
