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
from polylm_core.hashing import NO_HASHES, Hashes, hash_set, in_set, mixed
from polylm_core.kernels import kernel
from polylm_core.languages import get_language
from polylm_core.stages.curate.config import DecontaminateConfig
from polylm_core.storage import replacing
from polylm_core.tokens import STARTS_LINE, tokenise

FILTER = "decontaminate"
REASON = "contaminated"

Flags = npt.NDArray[np.bool_]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


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
        are_words = get_language(self.language).words == "spaces"
        tokens = tokenise(texts, are_words=are_words)
        return _flags(tokens.wordings, tokens.kinds, self.ngram, self.runs, self.short_lines)

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
    language: str, texts: Iterable[Texts], config: DecontaminateConfig
) -> ContaminationIndex:
    """Index the lines of a language's evaluation texts."""
    are_words = get_language(language).words == "spaces"
    ngram = config.ngram_words if are_words else config.ngram_characters
    runs, short_lines = [NO_HASHES], [NO_HASHES]
    for batch in texts:
        tokens = tokenise(batch, are_words=are_words)
        found = _runs(tokens.wordings, tokens.kinds, ngram)
        runs.append(np.unique(found[0]))
        short_lines.append(np.unique(found[1]))
    return ContaminationIndex(
        language,
        ngram,
        hash_set(np.unique(np.concatenate(runs))),
        hash_set(np.unique(np.concatenate(short_lines))),
    )


@kernel
def _power(ngram: int) -> np.uint64:
    power = np.uint64(1)
    for _ in range(ngram - 1):
        power *= _MULTIPLIER
    return power


@kernel
def _runs(wordings: Hashes, kinds: Bytes, ngram: int) -> tuple[Hashes, Hashes]:
    """Runs of the lines that are long enough, and hashes of the others."""
    runs, short_lines = np.empty(len(wordings), np.uint64), np.empty(len(wordings), np.uint64)
    window, power = np.zeros(ngram, np.uint64), _power(ngram)
    run, seen, num_runs, num_short = np.uint64(0), 0, 0, 0
    for token in range(len(wordings) + 1):
        if token == len(wordings) or kinds[token] & STARTS_LINE:
            if 0 < seen < ngram:
                short_lines[num_short] = mixed(run)
                num_short += 1
            run, seen = np.uint64(0), 0
        if token < len(wordings) and wordings[token]:
            if seen >= ngram:
                run -= window[seen % ngram] * power
            run = run * _MULTIPLIER + wordings[token]
            window[seen % ngram] = wordings[token]
            seen += 1
            if seen >= ngram:
                runs[num_runs] = mixed(run)
                num_runs += 1
    return runs[:num_runs], short_lines[:num_short]


@kernel
def _flags(wordings: Hashes, kinds: Bytes, ngram: int, runs: Hashes, short_lines: Hashes) -> Flags:
    num_lines = 0
    for token in range(len(kinds)):
        num_lines += (kinds[token] & STARTS_LINE) != 0
    flags = np.zeros(num_lines, np.bool_)
    window, power = np.zeros(ngram, np.uint64), _power(ngram)
    run, seen, line = np.uint64(0), 0, -1
    for token in range(len(wordings) + 1):
        if token == len(wordings) or kinds[token] & STARTS_LINE:
            if 0 < seen < ngram and in_set(short_lines, mixed(run)):
                flags[line] = True
            run, seen = np.uint64(0), 0
            line += 1
        if token < len(wordings) and wordings[token]:
            if seen >= ngram:
                run -= window[seen % ngram] * power
            run = run * _MULTIPLIER + wordings[token]
            window[seen % ngram] = wordings[token]
            seen += 1
            if seen >= ngram and not flags[line] and in_set(runs, mixed(run)):
                flags[line] = True
    return flags
