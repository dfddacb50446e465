"""Lines, and documents of a natural size made of short texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

BLOCK_BYTES = 3_500
"""UTF-8 bytes after which a document made of short texts ends: about a web page's."""

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")


def joined(lines: Iterable[str]) -> str:
    """Return the lines that are not blank: NFC, single spaces, no control characters."""
    cleaned = (" ".join(_CONTROLS.sub("", line).split()) for line in lines)
    return unicodedata.normalize("NFC", "\n".join(line for line in cleaned if line))


def blocks(texts: Sequence[str], block_bytes: int = BLOCK_BYTES) -> Iterator[str]:
    """Join consecutive texts into documents of about `block_bytes`; the last may be shorter."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text.encode())
        if size >= block_bytes:
            yield "\n".join(block)
            block, size = [], 0
    if block:
        yield "\n".join(block)
