"""Trains an n-gram model on trusted text: interpolated modified Kneser-Ney smoothing.

As Chen & Goodman (1998, TR-10-98 §3.1) define it and KenLM's lmplz computes it (Heafield et al.
2013, Scalable Modified Kneser-Ney Language Model Estimation). The same texts give the same model,
in whatever order they come; a text that comes twice counts once. Memory is bounded by taking the
texts of the smallest hashes, and the model by dropping the rarest n-grams.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from polylm_core.errors import StageError
from polylm_core.ngram_model import stream
from polylm_core.ngram_model.folding import folding
from polylm_core.ngram_model.tables import BEGIN, END, UNKNOWN, NgramSet, Order
from polylm_core.ngram_model.units import Unit

_FALLBACK_DISCOUNTS = (0.0, 0.5, 1.0, 1.5)
"""Where there are too few counts to estimate them (lmplz --discount_fallback)."""

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class NgramTraining(BaseModel):
    """How a model is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    unit: Unit
    """`words`, or `characters` for languages without spaces between words."""
    order: int = Field(default=3, ge=2, le=6)
    """Longest n-grams."""
    max_training_bytes: int = Field(default=64_000_000, ge=1)
    """UTF-8 bytes of text that is trained on; of more, those with the smallest hashes."""
    max_ngrams: int = Field(default=2_000_000, ge=1)
    """N-grams of the model, of all orders together; the rarest ones are left out."""


def train(texts: Iterable[str], training: NgramTraining) -> NgramSet:
    """The model of these texts, held in bounded memory whatever they are.

    Raises StageError when there is no word in them.
    """
    sample = sample_texts(texts, training.max_training_bytes)
    data = np.frombuffer("\n".join(sample).encode(), np.uint8)
    numbers, words = stream.number_words(data, training.unit, folding())
    if not words:
        raise StageError(
            "an n-gram model has no text to train on: the trusted texts hold no words, or each is "
            f"longer than max_training_bytes = {training.max_training_bytes}; give other texts"
        )
    levels = _count_ngrams(numbers, len(words) + stream.FIRST_WORD, training.order)
    threshold = _threshold(levels, training.max_ngrams)
    for level in levels:
        level.kept = level.raw >= threshold
    levels[0].kept[[0, stream.BEGIN, stream.END]] = True
    _estimate(levels)
    return _pack(levels, [UNKNOWN, BEGIN, END, *words])


def sample_texts(texts: Iterable[str], max_bytes: int) -> list[str]:
    """Distinct texts in the order of their hashes, as many as come before `max_bytes` are full."""
    heap: list[tuple[int, str]] = []
    taken: set[int] = set()
    total, limit = 0, 1 << 128
    for text in texts:
        key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
        if key >= limit or key in taken:
            continue
        heapq.heappush(heap, (-key, text))
        taken.add(key)
        total += len(text.encode())
        while total > max_bytes:
            largest, dropped = heapq.heappop(heap)
            # Nothing after a text that was too much is taken, or the order would decide.
            limit = -largest
            taken.discard(limit)
            total -= len(dropped.encode())
    return [text for _, text in sorted(heap, reverse=True)]


@dataclass
class _Level:
    """The distinct n-grams of one order, sorted by context and last word."""

    context: Indices
    """Index of the first n - 1 words in the level below."""
    word: Indices
    """Number of the last word."""
    suffix: Indices
    """Index of the last n - 1 words in the level below."""
    raw: Indices
    """How often it stands in the text."""
    count: Indices
    """What is smoothed: `raw` at the highest order and after <s>, else the words seen before it."""
    kept: npt.NDArray[np.bool_]
    probability: Floats
    backoff: Floats
    """Weight of the level below after this n-gram."""

    @classmethod
    def of(cls, context: Indices, word: Indices, suffix: Indices, raw: Indices) -> _Level:
        some = np.ones(len(raw))
        return cls(context, word, suffix, raw, raw, some > 0, some, some.copy())


def _count_ngrams(numbers: npt.NDArray[np.uint32], num_words: int, order: int) -> list[_Level]:
    text = numbers.astype(np.int64)
    raw = np.bincount(text, minlength=num_words)
    nothing = np.zeros(num_words, np.int64)
    levels = [_Level.of(nothing, np.arange(num_words), nothing, raw)]
    # Where each token's n-gram is in its level; the tokens before it in the line have to be n - 1.
    index, ends = text, np.flatnonzero(text != stream.BEGIN)
    after_begin = np.arange(num_words) == stream.BEGIN
    for _ in range(order - 1):
        keys = index[ends - 1] * num_words + text[ends]
        distinct, first, positions, raw = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True
        )
        context, word = np.divmod(distinct, num_words)
        levels.append(_Level.of(context, word, index[ends[first]], raw))
        below = levels[-2]
        seen_before = np.bincount(levels[-1].suffix, minlength=len(below.raw))
        below.count = np.where(after_begin, below.raw, seen_before)
        after_begin = after_begin[context]
        index = np.full(len(text), -1)
        index[ends] = positions
        # The next n-gram ends one token later at the earliest, in the same line.
        ends = ends[1:][(text[ends[1:] - 1] != stream.BEGIN) & (index[ends[1:] - 1] >= 0)]
    levels[0].count[[0, stream.BEGIN]] = 0
    return levels


def _threshold(levels: list[_Level], max_ngrams: int) -> int:
    """The smallest count such that the n-grams that stand as often are few enough.

    Every part of an n-gram stands at least as often as the whole, so no kept one loses a part.
    """
    counts = np.sort(np.concatenate([level.raw for level in levels]))[::-1]
    counts = counts[counts > 0]
    return 1 if len(counts) <= max_ngrams else int(counts[max_ngrams]) + 1


def _estimate(levels: list[_Level]) -> None:
    unigrams = levels[0]
    rare = ~unigrams.kept
    predicted = unigrams.kept.copy()
    predicted[stream.BEGIN] = False
    # One <unk> for words never seen, and one for each that was dropped: all equally probable.
    uniform = 1.0 / (predicted.sum() + rare.sum())
    discounted, backoff = _discount(unigrams, np.zeros(len(unigrams.raw), np.int64), 1)
    unigrams.probability = discounted + backoff[0] * uniform
    for below, level in itertools.pairwise(levels):
        discounted, below.backoff = _discount(level, level.context, len(below.raw))
        level.probability = (
            discounted + below.backoff[level.context] * below.probability[level.suffix]
        )


def _discount(level: _Level, context: Indices, num_contexts: int) -> tuple[Floats, Floats]:
    """The discounted probabilities (N,), and the weight left to the level below by context."""
    count = level.count.astype(np.float64)
    taken = _discounts(level.count)[np.minimum(level.count, 3)]
    total = np.bincount(context, weights=count, minlength=num_contexts)
    left = np.where(level.kept, taken, count)
    weight = np.bincount(context, weights=left, minlength=num_contexts)
    used = total > 0
    backoff = np.ones(num_contexts)
    backoff[used] = weight[used] / total[used]
    return (count - left) / np.where(used, total, 1.0)[context], backoff


def _discounts(counts: Indices) -> Floats:
    """What counts of 0, 1, 2 and 3 or more lose (Chen & Goodman 1998, equation 26)."""
    once, twice, thrice, four = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if min(once, twice, thrice) > 0:
        ratio = once / (once + 2 * twice)
        found = [
            number - (number + 1) * ratio * more / fewer
            for number, fewer, more in ((1, once, twice), (2, twice, thrice), (3, thrice, four))
        ]
        if all(0 <= each <= number for number, each in enumerate(found, start=1)):
            return np.array([0.0, *found])
    return np.array(_FALLBACK_DISCOUNTS)


def _pack(levels: list[_Level], words: list[bytes]) -> NgramSet:
    """The kept n-grams, the words numbered anew: after <unk>, <s> and </s> the frequent first."""
    unigrams = levels[0]
    kept = np.flatnonzero(unigrams.kept)
    special, rest = kept[: stream.FIRST_WORD], kept[stream.FIRST_WORD :]
    ranked = np.concatenate([special, rest[np.argsort(-unigrams.raw[rest], kind="stable")]])
    number = np.zeros(len(words), np.uint32)
    number[ranked] = np.arange(len(ranked), dtype=np.uint32)
    with np.errstate(divide="ignore"):
        log10 = np.log10(unigrams.probability[ranked])
    log10[stream.BEGIN] = -99.0  # never predicted; the conventional value
    orders = [_order(np.arange(len(ranked))[:, None], log10, unigrams.backoff[ranked])]
    ids = np.arange(len(words))[:, None]
    for level in levels[1:]:
        ids = np.concatenate([ids[level.context], level.word[:, None]], axis=1)
        chosen = level.kept
        log10 = np.log10(level.probability[chosen])
        orders.append(_order(number[ids[chosen]], log10, level.backoff[chosen]))
    return NgramSet([words[word] for word in ranked], orders)


def _order(ids: npt.NDArray[np.generic], log10: Floats, backoff: Floats) -> Order:
    # Rounded as in a file, so that another machine's last bit makes no other model.
    weight = np.round(np.log10(backoff), 6)
    weight[weight == 0] = -0.0
    return Order(
        ids.astype(np.uint32), np.round(log10, 6).astype(np.float32), weight.astype(np.float32)
    )
