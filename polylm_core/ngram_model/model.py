"""A model that scores texts: loaded from a file, or built from what a trainer made.

model = NgramModel.load(Path("de.arpa.gz"), "words")
model.score(["Ein Satz.", "Noch einer."])   # mean log10 probability of a word, higher is better
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from polylm_core.errors import SourceError
from polylm_core.ngram_model import kernels, probing, tables
from polylm_core.ngram_model.arpa import read_arpa
from polylm_core.ngram_model.folding import folding
from polylm_core.ngram_model.tables import NgramSet, Tables
from polylm_core.ngram_model.units import UNIT_NUMBERS, Unit

Scores = npt.NDArray[np.float64]

_KENLM_START = b"mmap lm http://kheafield.com/code"


class NgramModel:
    """Scores texts, in the unit that the model was trained on."""

    def __init__(self, loaded: Tables, unit: Unit) -> None:
        self._tables = loaded
        self.unit: Unit = unit

    @classmethod
    def of(cls, ngrams: NgramSet, unit: Unit, name: str = "the trained model") -> Self:
        """A model of n-grams in memory."""
        return cls(tables.build(ngrams, name), unit)

    @classmethod
    def load(cls, path: Path, unit: Unit) -> Self:
        """Read an ARPA file (plain or gzipped), or map a KenLM binary with probing tables.

        Raises SourceError for anything else.
        """
        try:
            with path.open("rb") as file:
                binary = file.read(len(_KENLM_START)) == _KENLM_START
        except OSError as error:
            raise SourceError(f"{path}: the model cannot be read: {error}") from error
        if binary:
            return cls(_map_kenlm(path), unit)
        return cls.of(read_arpa(path), unit, str(path))

    @property
    def order(self) -> int:
        """The longest n-grams."""
        return int(self._tables.layout[probing.ORDER])

    def to_kenlm(self) -> memoryview:
        """The bytes of a KenLM binary, which `load` maps and KenLM opens."""
        return self._tables.words.data.cast("B")

    def score(self, texts: Sequence[str]) -> Scores:
        """Mean log10 probability of a word or line end, for each text; -inf without words.

        Perplexity is 10 to the power of minus this.
        """
        return self.score_flat(*flatten(texts))

    def score_flat(self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> Scores:
        """As `score`, of texts in one buffer: text i is the valid UTF-8 at offsets[i]:[i + 1]."""
        sums, counts = self.log10_flat(data, offsets)
        return np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)

    def log10_flat(
        self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]
    ) -> tuple[Scores, npt.NDArray[np.int64]]:
        """The sum of log10 probabilities of each text, and its words and line ends."""
        sums = np.zeros(len(offsets) - 1)
        counts = np.zeros(len(offsets) - 1, np.int64)
        classes, folded = folding()
        words = self._tables.words
        kernels.score(
            data,
            offsets,
            UNIT_NUMBERS[self.unit],
            classes,
            folded,
            words,
            words.view(np.float32),
            self._tables.layout,
            sums,
            counts,
        )
        return sums, counts


def flatten(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Texts as one buffer of UTF-8, and offsets (N + 1,) of the texts in it."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(each) for each in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def _map_kenlm(path: Path) -> Tables:
    with path.open("rb") as file:
        counts, multiplier = tables.read_header(file.read(1024), str(path))
    places, size = tables.place(counts, multiplier, tables.header_bytes(len(counts)) // 4)
    if path.stat().st_size < 4 * size:
        raise SourceError(
            f"{path}: {path.stat().st_size} bytes, where its header asks for {4 * size}; "
            "it was cut short: fetch it again"
        )
    mapped = np.memmap(path, np.uint32, mode="r", shape=(size,))
    # A plain view of the map: numba compiles the loops once for both.
    words = np.asarray(mapped).view(np.ndarray)
    for field, word in ((probing.BEGIN, tables.BEGIN), (probing.END, tables.END)):
        at = probing.find_key(
            words,
            places[probing.VOCABULARY],
            places[probing.VOCABULARY_BUCKETS],
            3,
            np.uint64(tables.hash_word(word)),
        )
        places[field] = int(words[at]) if at >= 0 else 0
    return Tables(words, np.array(places, np.int64))
