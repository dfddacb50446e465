"""A tokenizer that was made elsewhere: fetched, checked and made one of this pipeline.

Only SentencePiece models can be taken, because `encode` is SentencePiece. What is asked of one:
text comes back from its ids (bytes for unknown characters, no normalization), and its first three
pieces are `<unk>`, `<s>`, `</s>`. Its ids stay as they are; `<pad>` and the marks of a chat are
added at the end, in this order, unless it has them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from polylm_core.errors import SourceError, StageError
from polylm_core.remote import InputFile, fetch_once
from polylm_core.stages.vocab.config import ImportedConfig
from polylm_core.tokenizer import (
    BOS_PIECE,
    CHAT_PIECES,
    EOS_PIECE,
    PAD_PIECE,
    UNK_PIECE,
    parse_model,
)


def import_model(config: ImportedConfig, work: Path) -> bytes:
    """Fetch a model, or find it fetched, and adopt it.

    Raises SourceError when it cannot be read or is another file, StageError with everything that
    keeps it from being used.
    """
    file = work / f"imported-{config.sha256[:16]}.model"
    try:
        fetch_once(InputFile(config.uri, config.uri, config.sha256), file)
    except SourceError as error:
        raise SourceError(f"vocab.imported.uri: {error}") from error
    content = file.read_bytes()
    if _is_json(content):
        raise StageError(
            f"vocab.imported: {config.uri} is a tokenizer.json of Hugging Face; text is encoded by "
            "SentencePiece here, so name the tokenizer.model it was made from"
        )
    try:
        return adopt(content)
    except ValueError as error:
        raise StageError(
            f"vocab.imported: {config.uri} cannot be used: {error}; import another model, or learn "
            "one (vocab.vocab_size)"
        ) from error


def adopt(model: bytes) -> bytes:
    """Add the pieces that a model lacks; raises ValueError with all that stands in the way."""
    proto = parse_model(model)
    obstacles = [*_obstacles_of_text(proto), *_obstacles_of_pieces(proto)]
    if obstacles:
        raise ValueError("; ".join(obstacles))
    present = {piece.piece for piece in proto.pieces}
    if proto.trainer_spec.pad_id < 0:
        proto.trainer_spec.pad_id = len(proto.pieces)
        proto.trainer_spec.pad_piece = PAD_PIECE
        proto.pieces.add(piece=PAD_PIECE, score=0.0, type=proto.SentencePiece.CONTROL)
    for mark in CHAT_PIECES:
        if mark not in present:
            proto.pieces.add(piece=mark, score=0.0, type=proto.SentencePiece.USER_DEFINED)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    return bytes(proto.SerializeToString(deterministic=True))


def _obstacles_of_text(proto: Any) -> list[str]:
    """Why a text would not come back from its ids."""
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    num_bytes = sum(piece.type == piece.BYTE for piece in proto.pieces)
    rules = {
        "it is neither a BPE nor a unigram model": trainer.model_type
        not in (trainer.BPE, trainer.UNIGRAM),
        f"it normalizes text ({normalizer.name or 'by rules of its own'}), only `identity` keeps "
        "it": normalizer.precompiled_charsmap,
        "it removes repeated spaces (remove_extra_whitespaces)": (
            normalizer.remove_extra_whitespaces
        ),
        "it does not mark spaces, or marks them after words": trainer.treat_whitespace_as_suffix
        or not normalizer.escape_whitespaces,
        "it has no pieces for bytes (byte_fallback), so unknown characters and line breaks would "
        "be lost": num_bytes != 256,
    }
    return [message for message, holds in rules.items() if holds]


def _obstacles_of_pieces(proto: Any) -> list[str]:
    """Why its ids would mean something else than this pipeline takes them for."""
    kinds = proto.SentencePiece
    types = {piece.piece: piece.type for piece in proto.pieces}
    first = [piece.piece for piece in proto.pieces[:3]]
    taken = [m for m in CHAT_PIECES if types.get(m, kinds.USER_DEFINED) != kinds.USER_DEFINED]
    rules = {
        f"its first pieces are {', '.join(first)} instead of {UNK_PIECE}, {BOS_PIECE}, "
        f"{EOS_PIECE}": first != [UNK_PIECE, BOS_PIECE, EOS_PIECE],
        f"it has {', '.join(taken)}, but not as user-defined pieces": taken,
        f"it has {PAD_PIECE}, but not for padding": proto.trainer_spec.pad_id < 0
        and PAD_PIECE in types,
        "it has unused pieces": kinds.UNUSED in types.values(),
    }
    return [message for message, holds in rules.items() if holds]


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True
