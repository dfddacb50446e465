"""Which documents a step of pretraining saw, and which steps saw a document.

A step saw a document where it predicted tokens of it. Steps count from 1, as in the curves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polylm_core.document_map import DocumentMap, DocumentSpan
from polylm_core.errors import StageError
from polylm_core.token_files import list_streams
from polylm_core.training.curriculum import CurriculumOrder, Reading, target_spans
from polylm_core.training.job import CurriculumData
from polylm_core.training.order import curriculum_order


@dataclass(frozen=True)
class Sight:
    """Tokens of one document among the targets of one row."""

    row: int
    document: DocumentSpan
    begin: int
    """Position in the stream of the first of them."""
    end: int
    """The position after the last of them."""

    @property
    def tokens(self) -> int:
        """How many there are."""
        return self.end - self.begin


class Trace:
    """The steps and the documents of one pretraining run."""

    def __init__(self, data: CurriculumData, seed: int, *, tokens: Path) -> None:
        """`tokens` is the folder of the token set."""
        self._data = data
        self._tokens = tokens
        self.order: CurriculumOrder = curriculum_order(data, seed)

    def stage(self, step: int) -> str:
        """Return the name of a step's curriculum stage; raises StageError for a step not there."""
        self._require(step)
        return self._data.stage_windows[self.order.stage_of(step - 1)][0]

    def step(self, step: int) -> list[Sight]:
        """Return what a step saw, row by row; raises StageError for a step not there."""
        self._require(step)
        windows = self.order.windows(step - 1)
        found: list[Sight] = []
        for number, name in enumerate(self.order.names):
            own = [
                (row, int(windows.firsts[row]))
                for row in range(len(windows.firsts))
                if windows.streams[row] == number
            ]
            if own:
                with DocumentMap(self._data.stream_files[name], verified=True) as documents:
                    found += self._sights(documents, own)
        return sorted(found, key=lambda sight: sight.row)

    def document(self, document: str) -> tuple[DocumentSpan, list[Reading]]:
        """Return where a document is and when it was seen, steps counted from 1.

        Raises StageError when it is not in the training text.
        """
        stem, span = self._find(document)
        readings = self.order.readings(stem.name, span.begin, span.end)
        return span, [Reading(seen.step + 1, seen.epoch, seen.first) for seen in readings]

    def _require(self, step: int) -> None:
        if not 1 <= step <= self.order.num_steps:
            raise StageError(
                f"step {step:,}: the run has the steps 1 to {self.order.num_steps:,}; name one"
            )

    def _sights(self, documents: DocumentMap, own: list[tuple[int, int]]) -> Iterator[Sight]:
        """Yield what rows of one stream saw; they are (row, first token of its window)."""
        file, context = documents.file, self._data.context_tokens
        spans = [
            (row, begin, end)
            for row, first in own
            for begin, end in target_spans(len(file.tokens), first, context)
        ]
        numbers = [
            range(file.document_of(begin), file.document_of(end - 1) + 1) for _, begin, end in spans
        ]
        by_number = documents.numbered({number for several in numbers for number in several})
        for (row, begin, end), several in zip(spans, numbers, strict=True):
            for number in several:
                document = by_number[number]
                sight = Sight(row, document, max(begin, document.begin), min(end, document.end))
                if sight.tokens > 0:
                    yield sight

    def _find(self, document: str) -> tuple[Path, DocumentSpan]:
        """Find a document by its id, first in the streams that the id names."""
        parts = document.split("/")
        for split in ("train", "held_out"):
            folder = self._tokens / split
            for name in sorted(list_streams(folder), key=lambda name: (name not in parts, name)):
                with DocumentMap(folder / name, verified=True) as documents:
                    span = documents.find([document]).get(document)
                if span is None:
                    continue
                if split == "held_out":
                    raise StageError(f"{document} is held out: no step of a training run saw it")
                return folder / name, span
        raise StageError(
            f"{document!r} is no document of {self._tokens}; ids are <source>/<language>/<key>, as "
            "`polylm trace step` prints them"
        )
