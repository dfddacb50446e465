"""JSON that shows any change of itself: it ends with the sha256 of everything else in it.

A manifest, a checkpoint's index and a certificate say of other files which bytes they have; the
seal says it of them. One flipped bit, also in white space or in a number that reads the same, and
the file is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SEAL = "sealed_by_sha256"


def sealed(content: Mapping[str, Any]) -> bytes:
    """Return the one text of some content and its seal: sorted keys, an entry a line."""
    return _text({**content, SEAL: hashlib.sha256(_text(content)).hexdigest()})


def unsealed(data: bytes) -> dict[str, Any]:
    """Return what was sealed; raises ValueError for bytes that `sealed` did not give."""
    try:
        content = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deep to be one of ours") from error
    if not isinstance(content, dict) or content.pop(SEAL, None) is None:
        raise ValueError("it has no seal: it was not written by this version, or is damaged")
    if sealed(content) != data:
        raise ValueError("it is not as it was written: its seal does not fit")
    return content


def _text(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()
