"""What is never trained on: documents drawn by their key, and lines that would give them away.

A key is drawn in all languages at once, and with it the pairs cut from the document: otherwise a
translation of a held-out text would be trained on. Drawing by a hash keeps the choice when other
documents come or go.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from polylm_core.languages import get_language
from polylm_core.stages.curate.config import DecontaminateConfig, HeldOutConfig
from polylm_core.stages.curate.ngrams import Hashes, Tokens, runs

FILTER = "decontaminate"
REASON = "contaminated"

_LINES_AT_ONCE = 20_000
"""Lines that are hashed together: enough for numpy, little for memory."""

# GPT-3 compares lower-case words without punctuation (arXiv 2005.14165, appendix C).
_PUNCTUATION = re.compile(
    "[\\s!-/:-@\\[-`{-\u00bf\u1360-\u1368\u2000-\u206f\u20a0-\u20cf\u2190-\u2bff\u3000-\u3004]+"
)


def document_key(identifier: str) -> str:
    """Source and document of a document's or a pair's id, without languages and unit."""
    source, _, document = identifier.split("/", 2)
    return f"{source}/{document.rpartition('#')[0] or document}"


def is_held_out(identifier: str, seed: int, config: HeldOutConfig) -> bool:
    """Whether the document with this id, and so its pairs, belong to the held-out share."""
    share = config.share_by_source.get(identifier.partition("/")[0], config.share)
    digest = hashlib.sha256(f"{seed}:{document_key(identifier)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def comparable(line: str) -> str:
    """A line as it is compared: lower case, without punctuation, single spaces."""
    return _PUNCTUATION.sub(" ", line.casefold()).strip()


@dataclass(frozen=True)
class HeldOutIndex:
    """The held-out lines of one language, ready to be looked up in."""

    language: str
    ngram: int
    """Tokens of a run."""
    runs: Hashes
    """Every run of the longer lines, sorted."""
    short_lines: frozenset[str]
    """The lines of fewer tokens than a run."""

    def contaminated(self, lines: Sequence[str]) -> list[bool]:
        """For each line, whether it shares a run with a held-out line, or equals a short one."""
        tokens = Tokens(get_language(self.language).words)
        return [
            flag
            for start in range(0, len(lines), _LINES_AT_ONCE)
            for flag in self._batch(lines[start : start + _LINES_AT_ONCE], tokens)
        ]

    def _batch(self, lines: Sequence[str], tokens: Tokens) -> list[bool]:
        compared = [comparable(line) for line in lines]
        split = [tokens.split(line) for line in compared]
        lengths = np.array([len(line) for line in split], np.int64)
        all_runs = runs(tokens.hash([token for line in split for token in line]), self.ngram)
        line_of = np.repeat(np.arange(len(split)), lengths)
        within = line_of[: len(all_runs)] == line_of[len(line_of) - len(all_runs) :]
        shared = np.isin(all_runs, self.runs) & within
        flags = np.zeros(len(split), bool)
        flags[line_of[: len(all_runs)][shared]] = True
        return [
            bool(flag) or line in self.short_lines
            for flag, line in zip(flags, compared, strict=True)
        ]


def build_index(
    language: str, held_out_lines: Iterable[str], config: DecontaminateConfig
) -> HeldOutIndex:
    """Index the held-out lines of a language; lines without a letter or digit give nothing away."""
    tokens = Tokens(get_language(language).words)
    ngram = config.ngram_words if tokens.are_words else config.ngram_characters
    short: set[str] = set()
    found: list[Hashes] = [np.zeros(0, np.uint64)]
    for line in sorted({comparable(line) for line in held_out_lines}):
        split = tokens.split(line)
        if len(split) >= ngram:
            found.append(runs(tokens.hash(split), ngram))
        elif line:
            short.add(line)
    return HeldOutIndex(language, ngram, np.unique(np.concatenate(found)), frozenset(short))
