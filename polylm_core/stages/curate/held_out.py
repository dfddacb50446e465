"""What is never trained on: documents drawn by their key.

A key is drawn in all languages at once, and with it the pairs cut from the document: otherwise a
translation of a held-out text would be trained on. Drawing by a hash keeps the choice when other
documents come or go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from polylm_core.stages.curate.config import HeldOutConfig


def document_key(identifier: str) -> str:
    """Source and document of a document's or a pair's id, without languages and unit."""
    source, languages, document = identifier.split("/", 2)
    is_pair = "-" in languages
    return f"{source}/{document.rpartition('#')[0] if is_pair else document}"


def is_held_out(identifier: str, seed: int, config: HeldOutConfig) -> bool:
    """Whether the document with this id, and so its pairs, belong to the held-out share."""
    share = config.share_by_source.get(identifier.partition("/")[0], config.share)
    digest = hashlib.sha256(f"{seed}:{document_key(identifier)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def held_out_flags(
    identifiers: Sequence[str], seed: int, config: HeldOutConfig
) -> npt.NDArray[np.bool_]:
    """For each id whether it is held out."""
    flags = (is_held_out(identifier, seed, config) for identifier in identifiers)
    return np.fromiter(flags, np.bool_, len(identifiers))
