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
from polylm_core.training.windows import segments_of


def write_validation(
    path: Path,
    tokens: TokenSet,
    tokenizer: SentencePieceTokenizer,
    *,
    languages: Sequence[str],
    context_tokens: int,
    tokens_per_language: int,
    attend_across_documents: bool,
) -> None:
    """Write `ids` [N, T+1], `language` [N], `languages` and `bytes` by language to an `.npz`.

    `segments` [N, T] are beside them where documents do not attend to each other.

    Raises StageError when a language has too little held-out text for one row.
    """
    rows, segments, owner, num_bytes = [], [], [], []
    for number, code in enumerate(languages):
        file = TokenFile.open(tokens.path / "held_out" / code)
        firsts = _firsts(file, code, context_tokens, tokens_per_language)
        rows += [file.tokens[first : first + context_tokens + 1] for first in firsts]
        segments.append(segments_of(file, np.asarray(firsts), context_tokens))
        owner += [number] * len(firsts)
        predicted = file.tokens[1 : firsts[-1] + context_tokens + 1].tolist()
        num_bytes.append(sum(_bytes_of(tokenizer, token) for token in predicted))
    apart = {} if attend_across_documents else {"segments": np.concatenate(segments)}
    with no_space_named(path):
        np.savez(
            path,
            ids=np.stack(rows).astype(np.int32),
            language=np.asarray(owner, dtype=np.int64),
            languages=np.asarray(languages),
            bytes=np.asarray(num_bytes, dtype=np.int64),
            allow_pickle=False,
            **apart,
        )


def _firsts(file: TokenFile, code: str, context_tokens: int, tokens: int) -> range:
    """First tokens of a language's rows."""
    size = len(file.tokens)
    if size <= context_tokens:
        raise StageError(
            f"{code} has {size} held-out tokens, a validation row takes "
            f"{context_tokens + 1}; raise curate.held_out.share"
        )
    rows = max(1, min(tokens, size - 1) // context_tokens)
    return range(0, rows * context_tokens, context_tokens)


def _bytes_of(tokenizer: SentencePieceTokenizer, token: int) -> int:
    """Return the UTF-8 bytes one id stands for: none for a control piece such as the end token."""
    if token in (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id):
        return 0
    return 1 if token in tokenizer.byte_ids else len(readable(tokenizer.piece(token)).encode())
