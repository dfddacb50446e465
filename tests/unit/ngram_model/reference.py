"""An n-gram model in plain Python, to compare the kernels with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polylm_core.ngram_model.tables import NgramSet

DATA = Path(__file__).parents[2] / "data" / "ngrams"


class ReferenceModel:
    """Backs off by the book: p(w | h) = p(hw) if it is there, else backoff(h) p(w | h')."""

    def __init__(self, ngrams: NgramSet) -> None:
        self._weights: dict[tuple[str, ...], tuple[float, float]] = {}
        words = [word.decode() for word in ngrams.words]
        for order in ngrams.orders:
            rows = zip(order.ids.tolist(), order.log10, order.backoff, strict=True)
            for ids, log10, backoff in rows:
                gram = tuple(words[number] for number in ids)
                self._weights[gram] = float(log10), float(backoff)
        self.order = len(ngrams.orders)
        self.vocabulary = words

    def conditional(self, context: tuple[str, ...], word: str) -> float:
        """log10 of the probability of a word after others."""
        gram = (*context, word)
        if gram in self._weights:
            return self._weights[gram][0]
        if not context:
            return self._weights[("<unk>",)][0]
        return self._weights.get(context, (0.0, 0.0))[1] + self.conditional(context[1:], word)

    def log10(self, lines: Sequence[Sequence[str]]) -> float:
        """The sum over the words and ends of lines."""
        total = 0.0
        for line in lines:
            known = [word if (word,) in self._weights else "<unk>" for word in line]
            words = ["<s>", *known, "</s>"]
            for at in range(1, len(words)):
                context = tuple(words[max(0, at - self.order + 1) : at])
                total += self.conditional(context, words[at])
        return total
