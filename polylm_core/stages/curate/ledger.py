"""What curate leaves out: sums by filter and reason, samples, and every item with its reason.

`drops/<language>/` has a row a document or pair left out; `attrition.parquet` sums them by reason,
and lines and words with them; `filters.parquet` says what went into each filter and came out;
`samples.parquet` shows up to 20 kept and 20 left out by each. Samples are those with the smallest
hashes, so they are the same ones whoever counts and in whatever order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from polylm_core.hashing import Hashes, mixed_with
from polylm_core.stages.curate.config import FilterName

Kind = Literal["documents", "lines", "pairs"]

SAMPLES = 20
SAMPLE_CHARACTERS = 500

DROP_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("kind", pa.string(), metadata={"values": "documents or pairs"}),
        pa.field("language", pa.string()),
        pa.field("filter", pa.string(), metadata={"values": "see FILTERS"}),
        pa.field("reason", pa.string()),
        pa.field("bytes", pa.int64(), metadata={"unit": "UTF-8 bytes of the text left out"}),
    ]
)
ATTRITION_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("language", "kind", "filter", "reason")]
    + [(name, pa.int64()) for name in ("items", "bytes")]
)
FILTER_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("language", "kind", "filter")]
    + [(name, pa.int64()) for name in ("items_in", "bytes_in", "items_out", "bytes_out")]
)
SAMPLE_SCHEMA = pa.schema(
    [
        (name, pa.string())
        for name in ("language", "kind", "filter", "verdict", "reason", "id", "text")
    ]
)

FILTERS: tuple[str, ...] = get_args(FilterName)
"""The filters in the order they are applied."""


@dataclass(frozen=True, slots=True)
class Drop:
    """One item left out."""

    id: str
    kind: Kind
    language: str
    filter: str
    reason: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Attrition:
    """Items left out of one language for one reason."""

    language: str
    kind: Kind
    filter: str
    reason: str
    items: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Passage:
    """What went into one filter and came out of it, in one language."""

    language: str
    kind: Kind
    filter: str
    items_in: int
    bytes_in: int
    items_out: int
    bytes_out: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One item to look at."""

    language: str
    kind: Kind
    filter: str
    verdict: str
    """`kept` or `dropped`."""
    reason: str
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """What a filter looks at: documents or pairs of one language."""

    kind: Kind
    language: str
    keys: Hashes
    """Row keys, uint64[items]."""
    sizes: npt.NDArray[np.int64]
    """UTF-8 bytes."""
    show: Callable[[int], tuple[str, str]]
    """Id and text of an item."""


@dataclass(slots=True)
class Ledger:
    """The books of one or many units of work; sums are of items, then bytes."""

    dropped: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    """By language, kind, filter and reason."""
    passed: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    """Items and bytes in, items and bytes out, by language, kind and filter."""
    masked: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    """Placeholders put for personal data, by language, kind and placeholder."""
    samples: dict[tuple[str, ...], list[tuple[int, str, str, str]]] = field(default_factory=dict)
    """Hash, reason, id and text, the smallest hashes first, by language, kind, filter, verdict."""

    def record(
        self,
        items: Items,
        filter: str,
        verdicts: npt.NDArray[np.integer[Any]],
        reasons: Sequence[str],
        sizes_before: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Write down what a filter decided: -1 keeps an item, else the index of the reason.

        `sizes_before` are the items' bytes before the filter took something out of them.
        """
        before = items.sizes if sizes_before is None else sizes_before
        kept = verdicts < 0
        place = (items.language, items.kind, filter)
        sums = [
            len(kept),
            int(before.sum()),
            int(kept.sum()),
            int(items.sizes[kept].sum()),
        ]
        _add(self.passed, place, sums)
        for index in np.unique(verdicts[~kept]):
            chosen = verdicts == index
            sums = [int(chosen.sum()), int(items.sizes[chosen].sum())]
            _add(self.dropped, (*place, reasons[index]), sums)
        order = mixed_with(items.keys, np.uint64(_hash_of(filter)))
        for verdict, of in (("kept", kept), ("dropped", ~kept)):
            rows = np.flatnonzero(of)
            rows = rows[np.argsort(order[rows], kind="stable")[:SAMPLES]]
            found = [
                (
                    int(order[row]),
                    "" if kept[row] else reasons[verdicts[row]],
                    *_cut(items, int(row)),
                )
                for row in rows
            ]
            self._sample((*place, verdict), found)

    def record_dropped(self, items: Items, filter: str, reason: str) -> None:
        """Write down items of which only those left out are looked at: lines."""
        if len(items.keys):
            place = (items.language, items.kind, filter)
            _add(self.dropped, (*place, reason), [len(items.keys), int(items.sizes.sum())])
            order = mixed_with(items.keys, np.uint64(_hash_of(filter)))
            rows = np.argsort(order, kind="stable")[:SAMPLES]
            found = [(int(order[row]), reason, *_cut(items, row)) for row in rows]
            self._sample((*place, "dropped"), found)

    def record_masked(self, language: str, kind: Kind, counts: Mapping[str, int]) -> None:
        """Write down placeholders put for personal data."""
        for placeholder, number in counts.items():
            _add(self.masked, (language, kind, placeholder), [number])

    def _sample(self, place: tuple[str, ...], found: list[tuple[int, str, str, str]]) -> None:
        if found:
            self.samples[place] = sorted([*self.samples.get(place, []), *found])[:SAMPLES]

    def add(self, other: Ledger) -> None:
        """Take over what another unit wrote down."""
        for mine, theirs in (
            (self.dropped, other.dropped),
            (self.passed, other.passed),
            (self.masked, other.masked),
        ):
            for place, sums in theirs.items():
                _add(mine, place, sums)
        for place, found in other.samples.items():
            self._sample(place, found)

    def attrition(self) -> list[Attrition]:
        """The sums by reason, in the order of the filters."""
        return [
            Attrition(*place, *self.dropped[place])  # type: ignore[arg-type]
            for place in sorted(self.dropped, key=_in_order)
        ]

    def passages(self) -> list[Passage]:
        """What each filter let pass, in the order of the filters."""
        return [
            Passage(*place, *self.passed[place])  # type: ignore[arg-type]
            for place in sorted(self.passed, key=_in_order)
        ]

    def all_samples(self) -> Iterator[Sample]:
        """The samples, in the order of the filters."""
        for place in sorted(self.samples, key=_in_order):
            for _, reason, name, text in self.samples[place]:
                yield Sample(*place, reason, name, text)  # type: ignore[call-arg, arg-type]

    def to_json(self) -> dict[str, Any]:
        """The books as JSON."""
        return {
            name: [[list(place), value] for place, value in sorted(getattr(self, name).items())]
            for name in ("dropped", "passed", "masked", "samples")
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Ledger:
        """The books that `to_json` wrote."""
        return cls(
            {tuple(place): value for place, value in content["dropped"]},
            {tuple(place): value for place, value in content["passed"]},
            {tuple(place): value for place, value in content["masked"]},
            {tuple(place): [tuple(each) for each in value] for place, value in content["samples"]},
        )


def _add(
    sums: dict[tuple[str, ...], list[int]], place: tuple[str, ...], more: Sequence[int]
) -> None:
    seen = sums.get(place, [0] * len(more))
    sums[place] = [a + b for a, b in zip(seen, more, strict=True)]


def _in_order(place: tuple[str, ...]) -> tuple[Any, ...]:
    language, kind, filter, *rest = place
    return (language, kind, FILTERS.index(filter), *rest)


def _hash_of(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _cut(items: Items, row: int) -> tuple[str, str]:
    name, text = items.show(int(row))
    return name, text[:SAMPLE_CHARACTERS]
