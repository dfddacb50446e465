"""How a paragraph is cleaned, and the few questions asked about its English text."""

import re
import unicodedata
from collections import Counter

_ENGLISH_WORD = re.compile(r"[A-Za-z]+(?:['\u2019-][A-Za-z]+)*")
# Marks that say how to lay out a line, not what it says: soft hyphen, byte order mark, and the
# embeddings and isolates of bidirectional text. Joiners stay: they change letters.
_LAYOUT = re.compile("[\u00ad\ufeff\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069]")


def clean(text: str) -> str:
    """NFC, one line, single spaces, no control characters."""
    collapsed = " ".join(_LAYOUT.sub("", text).split())
    kept = "".join(c for c in collapsed if unicodedata.category(c) not in ("Cc", "Cs"))
    return " ".join(unicodedata.normalize("NFC", kept).split())


def num_english_words(text: str) -> int:
    """Words made of Latin letters, e.g. 3 in "Don't use $1 now"."""
    return len(_ENGLISH_WORD.findall(text))


def is_untranslated(text: str, english: str) -> bool:
    """Whether a "translation" is the English text, or an older wording of it.

    Older wordings are told by their words: five or more English ones, four in five of them kept.
    """
    if text == english:
        return True
    words, kept = _words(english), _words(text)
    num_words, num_kept = words.total(), (words & kept).total()
    return num_words >= 5 and 5 * num_kept >= 4 * max(num_words, kept.total())


def _words(text: str) -> Counter[str]:
    return Counter(word.lower() for word in _ENGLISH_WORD.findall(text))
