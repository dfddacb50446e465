"""What the defaults must know of single languages, so that adding one takes no thresholds.

Measured on FLORES-200's 204 languages, in documents of ten consecutive sentences: without these
figures the default recipe's rules reject 13 % in Fon and 4 % in Malayalam, Gopher's 32 % in
Dzongkha and 8 % in Tibetan; with them at most 1 %, but for South Azerbaijani (19 %), whose text
there partly lacks spaces. A recipe's own settings come after them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_FOUR_A_WORD = (
    "tha_Thai",
    "khm_Khmr",
    "lao_Laoo",
    "mya_Mymr",
    "bod_Tibt",
    "dzo_Tibt",
    "shn_Mymr",
)

THRESHOLDS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        # Without spaces between words: characters of a text by the words of its English original.
        "jpn_Jpan": {"characters_per_word": 3},
        **{code: {"characters_per_word": 4} for code in _FOUR_A_WORD},
        "kor_Hang": {"min_mean_word_characters": 2},  # a syllable is one character
        "vie_Latn": {"min_mean_word_characters": 2},  # a space after every syllable
        "fon_Latn": {"min_mean_word_characters": 2},
        "mal_Mlym": {"max_mean_word_characters": 13},
    }
)
"""Thresholds of the rules that hold in a language instead of the defaults."""

MIN_CONFIDENCE: Mapping[str, float] = MappingProxyType(
    {
        "swh_Latn": 0.35,
        "gla_Latn": 0.35,
        "plt_Latn": 0.35,
        "hrv_Latn": 0.33,
        "mlt_Latn": 0.33,
        "nno_Latn": 0.28,
        "afr_Latn": 0.25,
        "tuk_Latn": 0.25,
        "san_Deva": 0.2,
    }
)
"""Probabilities that lid.176 gives 98 % of a language's documents, where they are below a half."""
