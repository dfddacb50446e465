"""Training lines that would give an evaluation away: they share a run of words with it.

13 words as in GPT-3 (arXiv 2005.14165, appendix C), compared in lower case and without punctuation.
A line shorter than the run is contaminated when it equals a line of the evaluation; lines without a
letter or digit give nothing away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polylm_core.characters import Bytes, Texts
from polylm_core.hashing import (
    MULTIPLIER,
    NO_HASHES,
    Hashes,
    hash_set,
    in_set,
    leaving,
    mixed,
)
from polylm_core.kernels import kernel
from polylm_core.languages import get_language
from polylm_core.storage import replacing
from polylm_core.tokens import STARTS_LINE, tokenise

FILTER = "decontaminate"
REASON = "contaminated"
PIECE_BYTES = 1 << 22
"""Text that is looked at together: a byte of it takes up to 13 of memory."""

Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ContaminationIndex:
    """What must not be trained on in one language."""

    language: str
    ngram: int
    """Tokens of a run."""
    runs: Hashes
    """Hash set of the runs of the longer lines."""
    short_lines: Hashes
    """Hash set of the lines of fewer tokens."""

    def contaminated(self, texts: Texts) -> Flags:
        """For each line (empty ones left out) whether it is contaminated."""
        pieces = [self._contaminated(piece) for piece in texts.pieces(PIECE_BYTES)]
        return np.concatenate([np.zeros(0, np.bool_), *pieces])

    def _contaminated(self, texts: Texts) -> Flags:
        are_words = get_language(self.language).words == "spaces"
        tokens = tokenise(texts, are_words=are_words)
        found, lines, are_runs, num_lines = _line_runs(tokens.wordings, tokens.kinds, self.ngram)
        flags = np.zeros(num_lines, np.bool_)
        flags[lines[_are_known(found, are_runs, self.runs, self.short_lines)]] = True
        return flags

    def save(self, path: Path) -> None:
        """Write it to a `.npz` file that appears whole."""
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, ngram=self.ngram, runs=self.runs, short_lines=self.short_lines)

    @classmethod
    def load(cls, language: str, path: Path) -> ContaminationIndex:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            ngram = int(arrays["ngram"])
            return cls(language, ngram, arrays["runs"], arrays["short_lines"])


def build_index(
    language: str, texts: Iterable[Texts], *, ngram_words: int, ngram_characters: int
) -> ContaminationIndex:
    """Index the lines of a language's evaluation texts.

    A run has so many words, or characters where no spaces stand between words.
    """
    are_words = get_language(language).words == "spaces"
    ngram = ngram_words if are_words else ngram_characters
    runs, short_lines = [NO_HASHES], [NO_HASHES]
    for batch in texts:
        tokens = tokenise(batch, are_words=are_words)
        found, _, are_runs, _ = _line_runs(tokens.wordings, tokens.kinds, ngram)
        runs.append(np.unique(found[are_runs]))
        short_lines.append(np.unique(found[~are_runs]))
    return ContaminationIndex(
        language,
        ngram,
        hash_set(np.unique(np.concatenate(runs))),
        hash_set(np.unique(np.concatenate(short_lines))),
    )


@kernel
def _line_runs(wordings: Hashes, kinds: Bytes, ngram: int) -> tuple[Hashes, Places, Flags, int]:
    """Every run of a line, or a line shorter than a run: hash, line, whether it is a run; lines."""
    most = len(wordings)
    found, lines, are_runs = (
        np.empty(most, np.uint64),
        np.empty(most, np.int64),
        np.empty(most, np.bool_),
    )
    window, power = np.zeros(ngram, np.uint64), leaving(ngram)
    run, seen, line, count = np.uint64(0), 0, -1, 0
    for token in range(len(wordings) + 1):
        if token == len(wordings) or kinds[token] & STARTS_LINE:
            if 0 < seen < ngram:
                found[count], lines[count], are_runs[count] = mixed(run), line, False
                count += 1
            run, seen = np.uint64(0), 0
            line += 1
        if token < len(wordings) and wordings[token]:
            if seen >= ngram:
                run -= window[seen % ngram] * power
            run = run * MULTIPLIER + wordings[token]
            window[seen % ngram] = wordings[token]
            seen += 1
            if seen >= ngram:
                found[count], lines[count], are_runs[count] = mixed(run), line, True
                count += 1
    return found[:count], lines[:count], are_runs[:count], line


@kernel
def _are_known(found: Hashes, are_runs: Flags, runs: Hashes, short_lines: Hashes) -> Flags:
    known = np.empty(len(found), np.bool_)
    for place in range(len(found)):
        known[place] = in_set(runs if are_runs[place] else short_lines, found[place])
    return known
