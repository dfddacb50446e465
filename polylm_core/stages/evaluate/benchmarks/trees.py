"""Token sequences as prefix trees, so that what they have in common is computed once.

The options of an item begin with its prompt, and neighbouring items often with the same paragraph
or half a sentence. A tree is laid out in one row, depth first: a token attends to its ancestors
and to itself, and has the position that it has in its sequence. What a model computes for it is
then what it computes for the sequence alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

ATTENTION_TOKENS = 1024
"""Width at which attention costs about what the other layers do. Four factors of `hidden_size`
stand against twelve of its square; measured on SmolLM2 on two cores, where a masked product is
slower than a dense one."""


@dataclass
class Tree:
    """Sequences that share prefixes; N tokens in the order of a depth-first walk."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    spans: list[tuple[int, list[int]]] = field(default_factory=list)
    """Of each run of new tokens: the first one, and the ancestors of that one."""
    paths: list[tuple[int, list[int]]] = field(default_factory=list)
    """Of each sequence: its number, and the nodes of its tokens."""

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, number: int, inputs: Sequence[int], shared: int) -> None:
        """Add a sequence of which so many tokens are those of the last one."""
        ancestors = self.paths[-1][1][:shared] if self.paths else []
        first = len(self.tokens)
        self.spans.append((first, ancestors))
        self.tokens += inputs[shared:]
        self.positions += range(shared, len(inputs))
        self.paths.append((number, ancestors + list(range(first, len(self.tokens)))))

    def visible(self) -> npt.NDArray[np.bool_]:
        """Which token attends to which, shape (N, N)."""
        mask = np.zeros((len(self), len(self)), dtype=np.bool_)
        ends = [first for first, _ in self.spans[1:]] + [len(self)]
        for (first, ancestors), end in zip(self.spans, ends, strict=True):
            mask[first:end, ancestors] = True
            mask[first:end, first:end] = np.tri(end - first, dtype=np.bool_)
        return mask


def grow_trees(inputs: Sequence[tuple[int, ...]]) -> list[Tree]:
    """Return trees that hold every sequence once, joined where that costs less than apart."""
    trees: list[Tree] = []
    last: tuple[int, ...] = ()
    for number in sorted(range(len(inputs)), key=inputs.__getitem__):
        tokens = inputs[number]
        shared = _common(last, tokens)
        if trees and _joins(len(trees[-1]), len(tokens), shared):
            trees[-1].add(number, tokens, shared)
        else:
            trees.append(Tree())
            trees[-1].add(number, tokens, 0)
        last = tokens
    return trees


def _common(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """Length of the common beginning."""
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return min(len(left), len(right))


def _joins(tree: int, tokens: int, shared: int) -> bool:
    """Whether a tree of so many tokens costs less with the sequence than both apart."""
    return _cost(tree + tokens - shared) < _cost(tree) + _cost(tokens)


def _cost(tokens: int) -> float:
    return tokens * (1 + tokens / ATTENTION_TOKENS)


def batches(trees: Sequence[Tree], max_tokens: int) -> Iterator[list[Tree]]:
    """Yield trees of like sizes, the largest first, at most `max_tokens` with padding in a batch.

    A larger tree is a batch of its own.
    """
    batch: list[Tree] = []
    for tree in sorted(trees, key=len, reverse=True):
        if batch and (len(batch) + 1) * len(batch[0]) > max_tokens:
            yield batch
            batch = []
        batch.append(tree)
    if batch:
        yield batch
