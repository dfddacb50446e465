"""The stop words of a language, from trusted text: words that running text cannot do without.

The list is as long as it has to be for nearly every trusted document to have enough of them: what
is wanted of it is a rate of false rejects. FineWeb-2's files have 8 to 37 words; so has this.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from polylm_core.characters import SEPARATOR, SPACE, folded, properties

MIN_WORDS = 8
"""As many as Gopher has for English (Rae et al. 2021, §A1.1), and FineWeb-2's shortest lists."""
MAX_WORDS = 37
"""As many as the longest of FineWeb-2's lists; a longer one is met by text of any kind."""


def choose_stop_words(texts: Sequence[str], *, needed: int, coverage: float) -> tuple[str, ...]:
    """The words of most documents, as few as give a share of them `needed` different ones.

    Fewer than that share of documents may have them if `MAX_WORDS` are not enough. Words of equally
    many documents come in the order of their code points.
    """
    documents = [_words(text) for text in texts]
    frequency = Counter(word for words in documents for word in words)
    ranked = sorted(frequency, key=lambda word: (-frequency[word], word))[:MAX_WORDS]
    found = np.zeros(len(documents), np.int64)
    for count, word in enumerate(ranked, start=1):
        found += np.array([word in words for words in documents], np.int64)
        if count >= MIN_WORDS and (found >= needed).mean() >= coverage:
            return tuple(ranked[:count])
    return tuple(ranked)


def _words(text: str) -> set[str]:
    """Words with a letter, in lower case and without punctuation around them."""
    return {
        word
        for each in text.translate(_lower()).split()
        if (word := each.strip(_separators())) and any(map(str.isalpha, word))
    }


@functools.cache
def _lower() -> Mapping[int, int]:
    """Code points that `tokens.py` folds, so that a word here has the wording it has there."""
    table = folded()
    changed = np.flatnonzero(table != np.arange(len(table)))
    return {int(point): int(table[point]) for point in changed}


@functools.cache
def _separators() -> str:
    flags = properties()
    return "".join(map(chr, np.flatnonzero((flags & SEPARATOR != 0) & (flags & SPACE == 0))))
