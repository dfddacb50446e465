"""Held-out rows that a run is scored on while it is under way: bits per byte by language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polylm_core.artifacts import TokenSet
from polylm_core.errors import StageError
from polylm_core.storage import no_space_named
from polylm_core.token_files import TokenFile
from polylm_core.tokenizer import SentencePieceTokenizer, readable


def write_validation(
    path: Path,
    tokens: TokenSet,
    tokenizer: SentencePieceTokenizer,
    *,
    languages: Sequence[str],
    context_tokens: int,
    tokens_per_language: int,
) -> None:
    """Write `ids` [N, T+1], `language` [N], `languages` and `bytes` by language to an `.npz`.

    Raises StageError when a language has too little held-out text for one row.
    """
    rows, owner, num_bytes = [], [], []
    for number, code in enumerate(languages):
        stream = TokenFile.open(tokens.path / "held_out" / code).tokens
        wanted = max(1, min(tokens_per_language, len(stream) - 1) // context_tokens)
        if len(stream) <= context_tokens:
            raise StageError(
                f"{code} has {len(stream)} held-out tokens, a validation row takes "
                f"{context_tokens + 1}; raise curate.held_out_share"
            )
        for row in range(wanted):
            begin = row * context_tokens
            rows.append(np.asarray(stream[begin : begin + context_tokens + 1], dtype=np.int64))
            owner.append(number)
        predicted = [int(token) for token in stream[1 : wanted * context_tokens + 1]]
        num_bytes.append(sum(_bytes_of(tokenizer, token) for token in predicted))
    with no_space_named(path):
        np.savez(
            path,
            ids=np.stack(rows),
            language=np.asarray(owner, dtype=np.int64),
            languages=np.asarray(languages),
            bytes=np.asarray(num_bytes, dtype=np.int64),
        )


def _bytes_of(tokenizer: SentencePieceTokenizer, token: int) -> int:
    """Return the UTF-8 bytes one id stands for: none for a control piece such as the end token."""
    if token in (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id):
        return 0
    return 1 if token in tokenizer.byte_ids else len(readable(tokenizer.piece(token)).encode())
