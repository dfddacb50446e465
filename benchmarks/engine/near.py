"""Near-duplicates by exact Jaccard similarity, and how many of them a method found.

Both sides get texts that are simplified already, so that their shingles are the same: runs of five
whitespace words, or of ten characters where no spaces stand between words.
"""

from __future__ import annotations

import math
import random
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.engine.settings import SHINGLE_CHARACTERS, SHINGLE_WORDS
from polylm_core.records import Document

MIN_JACCARD = 0.8
PLANTED_SHARE = 0.1
"""Copies, of all documents; each with a share of its words replaced or its lines in new order."""
REPLACED_SHARES = (0.0, 0.01, 0.02, 0.03, 0.05)
"""With runs of five words, 2 % of the words replaced leaves a similarity of about 0.8."""
PLANTED = "#planted"


def simplified(text: str) -> str:
    """Lower case without diacritics, punctuation and numbers, each line once.

    Shingles need no more, and a repair finds nothing to change.
    """
    letters = unicodedata.normalize("NFD", text.lower())
    kept = (c for c in letters if unicodedata.category(c) != "Mn")
    spaced = "".join(c if c.isalpha() or c == "\n" else " " for c in kept)
    lines = (" ".join(line.split()) for line in spaced.split("\n"))
    return "\n".join(dict.fromkeys(filter(None, lines)))


def shingles(text: str, *, has_spaces: bool) -> frozenset[str]:
    """Return the distinct runs; a text shorter than a run has none."""
    if has_spaces:
        words: Sequence[str] = text.split()
        length, separator = SHINGLE_WORDS, " "
    else:
        words, length, separator = "".join(text.split()), SHINGLE_CHARACTERS, ""
    return frozenset(
        separator.join(words[begin : begin + length]) for begin in range(len(words) - length + 1)
    )


def exact_pairs(
    sets: Mapping[str, frozenset[str]], threshold: float = MIN_JACCARD
) -> set[tuple[str, str]]:
    """Return every pair of ids whose sets are at least this similar.

    An inverted index over each set's rarest members finds the candidates: sets of similarity t
    share one of the |x| - ceil(t |x|) + 1 members of x that come first in any common order
    (prefix filtering, Chaudhuri et al. 2006). Each candidate's similarity is then computed.
    """
    frequency = Counter(member for members in sets.values() for member in members)
    index: defaultdict[str, list[str]] = defaultdict(list)
    pairs = set()
    for identifier in sorted(sets, key=lambda one: (len(sets[one]), one)):
        members = sets[identifier]
        num_prefix = len(members) - math.ceil(threshold * len(members)) + 1 if members else 0
        rarest = sorted(members, key=lambda member: (frequency[member], member))[:num_prefix]
        for other in {other for member in rarest for other in index[member]}:
            if jaccard(members, sets[other]) >= threshold:
                pairs.add((min(identifier, other), max(identifier, other)))
        for member in rarest:
            index[member].append(identifier)
    return pairs


def jaccard(one: Collection[str], other: Collection[str]) -> float:
    """Return shared members by all members."""
    shared = len(frozenset(one) & frozenset(other))
    return shared / (len(one) + len(other) - shared) if shared else 0.0


def plant(documents: Sequence[Document], *, has_spaces: bool, seed: int = 1) -> list[Document]:
    """Return the documents, simplified, and altered copies of some of them.

    Documents without a shingle are left out: no similarity is defined for them.
    """
    draw = random.Random(seed)
    rows = [replace(row, text=simplified(row.text)) for row in documents]
    rows = [row for row in rows if shingles(row.text, has_spaces=has_spaces)]
    copied = draw.sample(range(len(rows)), k=int(PLANTED_SHARE * len(rows)))
    for number, index in enumerate(copied):
        share = REPLACED_SHARES[number % len(REPLACED_SHARES)]
        text = _altered(rows[index].text, share, draw, has_spaces=has_spaces)
        rows.append(replace(rows[index], id=rows[index].id + PLANTED, text=text))
    return rows


def _altered(text: str, share: float, draw: random.Random, *, has_spaces: bool) -> str:
    lines = text.split("\n")
    if not share:
        draw.shuffle(lines)
        return "\n".join(lines)
    units = [line.split() if has_spaces else list(line) for line in lines]
    words = [word for line in units for word in line]
    changed = [
        [draw.choice(words) if draw.random() < share else word for word in line] for line in units
    ]
    return "\n".join((" " if has_spaces else "").join(line) for line in changed)


@dataclass(frozen=True)
class NearScore:
    """How a method did against the exact similarities."""

    pairs: int
    """Pairs that are similar enough."""
    pairs_found: int
    """Of those, the pairs of which at most one document was kept."""
    dropped: int
    dropped_rightly: int
    """Dropped documents that have a similar one in the sample."""

    @property
    def recall(self) -> float:
        """Share of the similar pairs that do not survive as a pair."""
        return self.pairs_found / self.pairs if self.pairs else 1.0

    @property
    def precision(self) -> float:
        """Share of the dropped documents that have a similar one."""
        return self.dropped_rightly / self.dropped if self.dropped else 1.0

    def __add__(self, other: NearScore) -> NearScore:
        """Both samples taken together."""
        return NearScore(
            self.pairs + other.pairs,
            self.pairs_found + other.pairs_found,
            self.dropped + other.dropped,
            self.dropped_rightly + other.dropped_rightly,
        )


def score(pairs: Collection[tuple[str, str]], dropped: Iterable[str]) -> NearScore:
    """Compare the ids that a method dropped with the pairs that are similar."""
    gone = set(dropped)
    similar = {identifier for pair in pairs for identifier in pair}
    found = sum(1 for one, other in pairs if one in gone or other in gone)
    return NearScore(len(pairs), found, len(gone), len(gone & similar))
