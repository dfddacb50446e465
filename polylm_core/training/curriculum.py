"""Which tokens are in which step of pretraining: a function of (token set, mixture, seed, step).

Legend: B windows of a global batch, T tokens of context, S streams, N windows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from polylm_core.errors import StageError
from polylm_core.rounding import largest_remainder
from polylm_core.token_files import TokenFile
from polylm_core.training.batches import BatchSizes
from polylm_core.training.dataset import Batch, Ids
from polylm_core.training.interleave import Interleaving
from polylm_core.training.permutation import Counts, key_of, permuted, subkeys, unpermuted
from polylm_core.training.windows import copy_windows, number_documents

DRAWN_WINDOWS = 1024
"""Windows of a stream that are read at once when all are."""


@dataclass(frozen=True)
class StageDraw:
    """How many windows of each stream one curriculum stage draws."""

    name: str
    windows: Mapping[str, int]


def windows_of_stage(
    tokens_by_stream: Mapping[str, int], *, context_tokens: int, global_batch_windows: int
) -> dict[str, int]:
    """Turn a stage's tokens into windows that fill whole steps, by largest remainder.

    Raises StageError when they do not fill one.
    """
    total = sum(tokens_by_stream.values()) // context_tokens
    total -= total % global_batch_windows
    if total == 0:
        raise StageError(
            f"a curriculum stage of {sum(tokens_by_stream.values()):,} tokens does not fill one "
            f"step of {global_batch_windows * context_tokens:,}; raise mix.tokens or the stage's "
            "share_of_tokens, or lower pretrain.global_batch_tokens"
        )
    weight = sum(tokens_by_stream.values())
    exact = {name: total * tokens / weight for name, tokens in sorted(tokens_by_stream.items())}
    windows = largest_remainder(exact, total)
    return {name: count for name, count in windows.items() if count > 0}


@dataclass(frozen=True)
class Windows:
    """Where the rows of a step come from."""

    streams: Counts
    """Number of each row's stream in `CurriculumOrder.names`, [B]."""
    firsts: Counts
    """Position in the stream of each row's first token, [B]; it is followed by T more."""
    epochs: Counts
    """How often the stream had been read to its end before, [B]."""

    def rows(self, chosen: slice) -> Windows:
        """Return some of the rows."""
        return Windows(self.streams[chosen], self.firsts[chosen], self.epochs[chosen])

    def by_stream(self) -> Iterator[tuple[int, Counts]]:
        """Yield the number of each stream with its rows."""
        order = np.argsort(self.streams, kind="stable")
        ends = np.flatnonzero(np.diff(self.streams[order])) + 1
        for rows in np.split(order, ends):
            yield int(self.streams[rows[0]]), rows


@dataclass(frozen=True)
class Reading:
    """One time that a step reads a window of a stream."""

    step: int
    epoch: int
    first: int
    """Position in the stream of the window's first token."""


class CurriculumOrder:
    """Windows of context drawn from token streams, one curriculum stage after the other.

    A stream is read as a ring of windows, each epoch in a new keyed permutation, without
    replacement, and goes on where the stage before left it. Nothing is stored but a few numbers a
    stream and stage, so any step of a run of any length is there at once. The mixture says how many
    windows are drawn and not which come first: runs of other mixtures read a stream in one order.
    """

    def __init__(
        self,
        streams: Mapping[str, TokenFile],
        stages: Sequence[StageDraw],
        *,
        fingerprint: str,
        seed: int,
        context_tokens: int,
        batches: BatchSizes,
        attend_across_documents: bool,
    ) -> None:
        """`fingerprint` is that of the token set; with the seed it is the key of the order.

        Raises ValueError for a stage that does not end with a step.
        """
        _require_whole_steps(stages, batches)
        self.names = sorted({name for stage in stages for name in stage.windows})
        self._files = [streams[name] for name in self.names]
        self._tokens = [np.asarray(file.tokens) for file in self._files]
        self._context_tokens = context_tokens
        self._batches = batches
        self._attend_across_documents = attend_across_documents
        self._per_epoch = np.asarray(
            [max(1, len(tokens) // context_tokens) for tokens in self._tokens], dtype=np.int64
        )
        self._keys = np.asarray([key_of(fingerprint, seed, "stream", name) for name in self.names])
        counts = [[stage.windows.get(name, 0) for name in self.names] for stage in stages]
        self._stages = [
            Interleaving(row, key_of(fingerprint, seed, "stage", number))
            for number, row in enumerate(counts)
        ]
        self._taken = np.concatenate([np.zeros_like(counts[:1]), np.cumsum(counts, axis=0)])
        """[stages + 1, S]: windows of each stream drawn before each stage."""
        self._first_rows = list(accumulate((stage.rows for stage in self._stages), initial=0))
        steps = [batches.step_of(row) for row in self._first_rows]
        self.stage_steps = [end - begin for begin, end in pairwise(steps)]

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the run."""
        return self._batches.step_of(self.num_windows)

    @property
    def num_windows(self) -> int:
        """Windows that the run reads, each as often as it does."""
        return self._first_rows[-1]

    def stage_of(self, step: int) -> int:
        """Number of the curriculum stage that a step is in."""
        return bisect_right(self._first_rows, self._batches.first_row(step)) - 1

    def num_positions(self, step: int) -> int:
        """Return the positions of the step's global batch."""
        return self._batches.size(step) * self._context_tokens

    def num_targets(self, step: int) -> int:
        """Return how many positions of the step's global batch have a target: all."""
        return self.num_positions(step)

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        """Return these of the step's windows as [B, T] inputs and targets."""
        windows = self.windows(step).rows(rows)
        tokens = self._read(windows)
        ids, targets = tokens[:, :-1], tokens[:, 1:]
        if self._attend_across_documents:
            return Batch(ids, targets)
        segments = np.zeros(ids.shape, dtype=np.int32)
        for number, own in windows.by_stream():
            number_documents(self._files[number], windows.firsts[own], own, segments)
        return Batch(ids, targets, segments)

    def windows(self, step: int) -> Windows:
        """Return where the step's rows come from."""
        number = self.stage_of(step)
        begin = self._batches.first_row(step) - self._first_rows[number]
        turns = self._stages[number].turns(begin, begin + self._batches.size(step))
        return self._locate(turns.streams, self._taken[number, turns.streams] + turns.ordinals)

    def draws(self, name: str) -> Iterator[tuple[Ids, int]]:
        """Yield the windows that the run draws of a stream as [N, T + 1] tokens, and how often.

        Memory is bounded, and a stream is read at most twice however often the run draws it.
        """
        if name not in self.names:
            return
        number = self.names.index(name)
        drawn, size = int(self._taken[-1, number]), int(self._per_epoch[number])
        epochs = drawn // size
        spans = [(0, size, epochs), (epochs * size, drawn, 1)]
        for start, stop, times in spans if epochs else spans[1:]:
            for begin in range(start, stop, DRAWN_WINDOWS):
                ordinals = np.arange(begin, min(begin + DRAWN_WINDOWS, stop))
                windows = self._locate(np.full_like(ordinals, number), ordinals)
                yield self._read(windows), times

    def readings(self, name: str, begin: int, end: int) -> list[Reading]:
        """Return when the run predicts any of the tokens `begin` to `end` of a stream, in order."""
        if name not in self.names or begin >= end:
            return []
        number = self.names.index(name)
        windows = self._windows_with(number, begin, end)
        per_epoch, drawn = int(self._per_epoch[number]), int(self._taken[-1, number])
        found = []
        for epoch in range(-(-drawn // per_epoch)):
            places = unpermuted(windows, per_epoch, subkeys(self._keys[number], epoch))
            for window, place in zip(windows, places.tolist(), strict=True):
                ordinal = epoch * per_epoch + place
                if ordinal < drawn:
                    row = self._row(number, ordinal)
                    step = self._batches.step_of(row)
                    found.append((row, Reading(step, epoch, window * self._context_tokens)))
        return [reading for _, reading in sorted(found, key=lambda pair: pair[0])]

    def _windows_with(self, number: int, begin: int, end: int) -> list[int]:
        """Windows of an epoch with a target among the tokens `begin` to `end`."""
        context, last = self._context_tokens, int(self._per_epoch[number]) - 1
        if len(self._tokens[number]) <= context:
            return [0]
        windows = range(max(0, (begin - 1) // context), min(last, (end - 2) // context) + 1)
        wraps = begin == 0 and len(self._tokens[number]) % context == 0
        return sorted({*windows, last}) if wraps else list(windows)

    def _row(self, number: int, ordinal: int) -> int:
        """The row of the whole run that a stream's ordinal in the whole run is."""
        stage = bisect_right(self._taken[:, number].tolist(), ordinal) - 1
        own = ordinal - int(self._taken[stage, number])
        return self._first_rows[stage] + self._stages[stage].row(number, own)

    def _locate(self, streams: Counts, ordinals: Counts) -> Windows:
        per_epoch = self._per_epoch[streams]
        epochs, places = np.divmod(ordinals, per_epoch)
        windows = permuted(places, per_epoch, subkeys(self._keys[streams], epochs))
        return Windows(streams, windows * self._context_tokens, epochs)

    def _read(self, windows: Windows) -> Ids:
        """Return the T + 1 tokens of each window."""
        tokens = np.empty((len(windows.firsts), self._context_tokens + 1), dtype=np.int32)
        for number, rows in windows.by_stream():
            copy_windows(self._tokens[number], windows.firsts[rows], rows, tokens)
        return tokens


def _require_whole_steps(stages: Sequence[StageDraw], batches: BatchSizes) -> None:
    end = 0
    for stage in stages:
        end += (drawn := sum(stage.windows.values()))
        if batches.first_row(step := batches.step_of(end)) != end:
            size = batches.size(step)
            raise ValueError(f"{stage.name} draws {drawn} windows and ends in a step of {size}")


def target_spans(size: int, first: int, context_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield where in a stream of `size` tokens a window's targets are: one span, unless it wraps.

    It begins at the token `first`.
    """
    done = 0
    while done < context_tokens:
        begin = (first + 1 + done) % size
        end = min(begin + context_tokens - done, size)
        yield begin, end
        done += end - begin
