"""Ids of many texts as one array: SentencePiece's, by native code where it can take the model.

In: a loaded tokenizer, and texts as an Arrow array. Out: ids one after the other and how many each
text has, without a Python number for an id.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polylm_core.errors import StageError
from polylm_core.fast_bpe.model import FastBpe, obstacle
from polylm_core.tokenizer import SentencePieceTokenizer

CHECKED_CHARACTERS = 2_000
"""Beginning of each batch that SentencePiece encodes too, to see that the ids are equal."""


class FlatIds(NamedTuple):
    """Ids of several texts, one after the other."""

    ids: NDArray[np.int32]
    """All ids, [tokens]."""
    lengths: NDArray[np.int64]
    """Ids of each text, [texts]."""


class FlatEncoder:
    """A tokenizer's encoder of batches."""

    def __init__(self, tokenizer: SentencePieceTokenizer) -> None:
        """Make the native encoder, or keep SentencePiece's for a model that it cannot take."""
        self.tokenizer = tokenizer
        self.obstacle = obstacle(tokenizer.proto)
        """What in the model keeps it with SentencePiece, or none."""
        self._fast = None if self.obstacle else FastBpe(tokenizer.proto)

    def encode(self, texts: pa.Array) -> FlatIds:
        """Ids of texts, a string array, without bos and eos.

        Raises StageError when native code and SentencePiece differ on the beginning of a batch.
        """
        if self._fast is None:
            return _flat(self.tokenizer.encode_batch(texts.to_pylist()))
        flat = FlatIds(*self._fast.encode(texts))
        if len(texts):
            self._require_equal_ids(self._fast, str(texts[0])[:CHECKED_CHARACTERS])
        return flat

    def _require_equal_ids(self, fast: FastBpe, text: str) -> None:
        if fast.encode(pa.array([text]))[0].tolist() != self.tokenizer.encode(text):
            raise StageError(
                f"native code and SentencePiece encode {text[:80]!r} differently; report this "
                "with the tokenizer.model, no token file was finished with it"
            )


def _flat(ids: Sequence[Sequence[Any]]) -> FlatIds:
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    tokens = int(lengths.sum(dtype=np.int64))
    return FlatIds(np.fromiter(chain.from_iterable(ids), np.int32, count=tokens), lengths)
