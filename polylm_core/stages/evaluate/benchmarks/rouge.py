"""The mean of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), PolyLM's figure of MTG, from 0 to 1.

F-measures of the package rouge-score, without stems, of words in lower case. Its own words are runs
of a to z and 0 to 9: they cut `schön` in two and leave nothing of Chinese. Here they are runs of
letters and digits, as MTG's five languages have them; where no spaces stand between words, each
letter is one, beside runs of a to z and 0 to 9. PolyLM does not say what it takes for words (arXiv
2307.06018).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from rouge_score.rouge_scorer import RougeScorer

from polylm_core.languages import get_language

KINDS = ("rouge1", "rouge2", "rougeL")
_WORDS = {"spaces": re.compile(r"[^\W_]+"), "none": re.compile(r"[a-z0-9]+|[^\W_]")}
"""By what stands between the words of a language."""


class Words:
    """A tokenizer of rouge-score."""

    def __init__(self, between: str) -> None:
        self._words = _WORDS[between]

    def tokenize(self, text: str) -> list[str]:
        """Cut a text into words; an accent is one with its letter, however it is encoded."""
        return self._words.findall(unicodedata.normalize("NFC", text).lower())


@functools.cache
def _scorer(between: str) -> RougeScorer:
    return RougeScorer(KINDS, tokenizer=Words(between))


def score_text(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score what a model wrote against the item's target; `language` is a FLORES-200 code."""
    scorer = _scorer(get_language(doc["language"]).words)
    found = scorer.score(doc["target"], results[0])
    return {"rouge": sum(found[kind].fmeasure for kind in KINDS) / len(KINDS)}
