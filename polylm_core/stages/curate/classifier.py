"""A linear classifier of texts by their words and pairs of words, trained in the pipeline.

fastText's supervised model (Joulin et al. 2016, arXiv 1607.01759) with word bigrams, for two
classes: the mean of the features' weights, where fastText has a mean of vectors and then a layer.
One AdaGrad step a text (Duchi et al. 2011), the classes weighing the same. Single-threaded and in
an order by the texts' hashes, so the same texts give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from polylm_core.errors import SourceError, StageError
from polylm_core.kernels import kernel
from polylm_core.ngram_model import kernels, probing
from polylm_core.ngram_model.folding import folding
from polylm_core.ngram_model.model import Scores, flatten
from polylm_core.ngram_model.probing import Bytes, Int, Numbers, Words
from polylm_core.ngram_model.train import sample_texts
from polylm_core.ngram_model.units import UNIT_NUMBERS, Unit
from polylm_core.stages.curate.quality_config import ClassifierConfig

_MAGIC = b"polylm linear classifier 1\n"

Weights = npt.NDArray[np.float64]


class LinearClassifier:
    """Scores texts: the higher, the more like the positive ones; 0 is undecided."""

    def __init__(self, weights: npt.NDArray[np.float32], bias: float, unit: Unit) -> None:
        self._weights = weights
        self._bias = bias
        self._unit: Unit = unit

    @classmethod
    def train(
        cls,
        positives: Iterable[str],
        negatives: Iterable[str],
        config: ClassifierConfig,
        unit: Unit = "words",
    ) -> Self:
        """Learn to tell texts apart; raises StageError when there is none of a kind."""
        good = sample_texts(positives, config.max_training_bytes)
        bad = sample_texts(negatives, config.max_training_bytes)
        if not (good and bad):
            kind = "trusted" if not good else "other"
            raise StageError(
                f"a classifier of quality has no {kind} text to learn from: give texts of the "
                f"language that are shorter than max_training_bytes = {config.max_training_bytes}"
            )
        data, offsets = flatten([*good, *bad])
        labels = np.repeat([1.0, 0.0], [len(good), len(bad)])
        shares = np.where(labels > 0, 0.5 / len(good), 0.5 / len(bad)) * len(labels)
        # Both kinds mixed evenly, in an order that depends on nothing but their number.
        order = np.argsort(_spread(len(labels)), kind="stable")
        weights = np.zeros(config.max_features + 1)
        _learn(
            data,
            offsets,
            UNIT_NUMBERS[unit],
            *folding(),
            order,
            labels,
            shares,
            weights,
            config.epochs,
            config.learning_rate,
        )
        return cls(weights[:-1].astype(np.float32), float(weights[-1]), unit)

    def score(self, texts: Sequence[str]) -> Scores:
        """The log odds of each text being one of the positive ones; -inf without words."""
        data, offsets = flatten(texts)
        scores = np.empty(len(texts))
        _score(data, offsets, UNIT_NUMBERS[self._unit], *folding(), self._weights, scores)
        return scores + self._bias

    def to_bytes(self) -> bytes:
        """The model as a file: a header, then 32-bit weights."""
        header = {"bias": self._bias, "features": len(self._weights), "unit": self._unit}
        text = json.dumps(header, sort_keys=True).encode()
        return _MAGIC + text + b"\n" + self._weights.astype("<f4").tobytes()

    @classmethod
    def of_bytes(cls, data: bytes, name: str) -> Self:
        """Read what `to_bytes` wrote; raises SourceError for anything else."""
        header, _, weights = data[len(_MAGIC) :].partition(b"\n")
        try:
            if not data.startswith(_MAGIC):
                raise ValueError(f"it begins with {data[:20]!r}")
            fields = json.loads(header)
            values = np.frombuffer(weights, "<f4")
            if len(values) != fields["features"]:
                raise ValueError(f"{len(values)} of {fields['features']} weights are there")
            return cls(values, fields["bias"], fields["unit"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SourceError(
                f"{name}: not a classifier that curate trained ({error}); train it again"
            ) from error


def _spread(count: int) -> npt.NDArray[np.uint64]:
    return np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


@kernel
def _features(
    data: Bytes,
    at: Int,
    end: Int,
    unit: Int,
    classes: Bytes,
    folded: Words,
    size: Int,
    found: Numbers,
) -> Int:
    """Write the buckets of a text's words and pairs of words; their number."""
    out = np.empty(kernels.SCRATCH_BYTES, np.uint8)
    count, before = 0, np.uint64(0)
    while True:
        at, length = kernels.next_word(data, at, end, unit, classes, folded, out)
        if length == 0:
            return count
        if length < 0:
            before = np.uint64(0)
            continue
        word = probing.murmur(out, 0, length)
        found[count] = np.int64(word % np.uint64(size))
        count += 1
        if before:
            pair = probing.combine(before, word >> np.uint64(1))
            found[count] = np.int64(pair % np.uint64(size))
            count += 1
        before = word


@kernel
def _learn(
    data: Bytes,
    offsets: Numbers,
    unit: Int,
    classes: Bytes,
    folded: Words,
    order: Numbers,
    labels: Weights,
    shares: Weights,
    weights: Weights,
    epochs: int,
    learning_rate: float,
) -> None:
    """Logistic regression on mean features; the last weight is the bias."""
    size = len(weights) - 1
    squares = np.full(len(weights), 1e-8)
    found = np.empty(2 * np.max(offsets[1:] - offsets[:-1]) + 2, np.int64)
    for _ in range(epochs):
        for text in order:
            count = _features(
                data, offsets[text], offsets[text + 1], unit, classes, folded, size, found
            )
            if count == 0:
                continue
            total = 0.0
            for feature in range(count):
                total += weights[found[feature]]
            odds = weights[size] + total / count
            error = (1.0 / (1.0 + np.exp(-odds)) - labels[text]) * shares[text]
            step = error / count
            for feature in range(count):
                at = found[feature]
                squares[at] += step * step
                weights[at] -= learning_rate * step / np.sqrt(squares[at])
            squares[size] += error * error
            weights[size] -= learning_rate * error / np.sqrt(squares[size])


@kernel
def _score(
    data: Bytes,
    offsets: Numbers,
    unit: Int,
    classes: Bytes,
    folded: Words,
    weights: npt.NDArray[np.float32],
    scores: Weights,
) -> None:
    found = np.empty(2 * np.max(offsets[1:] - offsets[:-1]) + 2, np.int64)
    for text in range(len(scores)):
        count = _features(
            data, offsets[text], offsets[text + 1], unit, classes, folded, len(weights), found
        )
        total = 0.0
        for feature in range(count):
            total += weights[found[feature]]
        scores[text] = total / count if count else -np.inf
