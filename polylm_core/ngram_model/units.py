"""What an n-gram model counts.

- `tokens`: what stands between ASCII blanks, byte for byte. What KenLM itself sees; for files whose
  text was tokenised by their makers (CCNet: SentencePiece pieces joined with blanks).
- `words`: runs of letters, marks and digits; each punctuation mark or symbol is a word of its own.
- `characters`: each letter, mark, digit, punctuation mark or symbol; for languages without spaces.

Declared in the recipe, because a model means nothing in another unit than its own.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Literal

Unit = Literal["tokens", "words", "characters"]

UNIT_NUMBERS: Mapping[Unit, int] = types.MappingProxyType(
    {"tokens": 0, "words": 1, "characters": 2}
)
"""How the kernels know a unit."""
