"""Line repair: one form for one text, nothing invisible, every line once.

Filter 1 of curate (PolyLM §3.1, "line-level repair"): invisible characters, whitespace, over-long
words, lines that are only a URL, lines said before in the same document, and lines that were left
in English. Texts come in NFC. A native kernel over the UTF-8 of many documents at once; the tests
hold its plain form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from polylm_core.characters import Texts, properties
from polylm_core.hashing import NO_HASHES, Hashes
from polylm_core.stages.curate import repair_kernel as kernel

FILTER = "repair"

REASONS = ("overlong-word", "repeated-line", "url-only", "copy-of-english")
"""Why a line is left out; of an over-long word only the word is."""


Shares = dict[str, npt.NDArray[np.float64]]


class Repaired(NamedTuple):
    """Repaired texts, with what only the raw ones could tell."""

    texts: Texts
    shares: Shares
    """`repeated_line_share` (lines that stood in the document before, of its lines), the same of
    their characters and of paragraphs (lines between empty lines): float64[texts] each."""
    left_out: npt.NDArray[np.int64]
    """Parts left out, int64[n, 4]: document, index in `REASONS`, first byte and end in the
    buffer of raw texts."""


def repair(
    texts: Texts,
    *,
    are_words: bool,
    max_word_characters: int,
    english_lines: Hashes = NO_HASHES,
    min_copied_letters: int = 0,
) -> Repaired:
    """Repair every text; of one of which nothing stays the empty text is left.

    `english_lines` are the sorted hashes of lines that count as untranslated.
    """
    values, offsets, counts, left_out = kernel.repair_lines(
        texts.values,
        texts.offsets,
        properties(),
        are_words,
        max_word_characters,
        english_lines,
        min_copied_letters,
    )

    def share(part: int, whole: int) -> npt.NDArray[np.float64]:
        return np.asarray(counts[:, part] / np.maximum(counts[:, whole], 1))

    shares = {
        "repeated_line_share": share(kernel.REPEATED_LINES, kernel.LINES),
        "repeated_line_character_share": share(kernel.REPEATED_CHARACTERS, kernel.CHARACTERS),
        "repeated_paragraph_share": share(kernel.REPEATED_PARAGRAPHS, kernel.PARAGRAPHS),
        "repeated_paragraph_character_share": share(
            kernel.REPEATED_PARAGRAPH_CHARACTERS, kernel.CHARACTERS
        ),
    }
    return Repaired(Texts(values, offsets), shares, left_out)
