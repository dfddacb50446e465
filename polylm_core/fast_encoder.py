"""kitoken in SentencePiece's place, for the models that both encode to the same ids.

In: the bytes and the parsed proto of a SentencePiece model. Out: a function from texts to ids, or
none. kitoken (Rust) runs the same BPE about three times as fast, with shortcuts: a word that is a
piece is taken whole, texts are cut at spaces, pieces have ranks instead of scores. Each is right
for some models only, so `obstacle` asks of the model's own proto what they rest on; any model it
does not vouch for stays with SentencePiece.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

import kitoken

EncodeTexts = Callable[[list[str]], list[list[int]]]

SPACE_SIGN = "▁"
_BPE = 2
"""`TrainerSpec.ModelType.BPE`."""
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 1, 2, 3, 4, 5
"""`ModelProto.SentencePiece.Type`."""


def fast_encoder(model: bytes, proto: Any, reference: EncodeTexts) -> EncodeTexts | None:
    """Return kitoken's encoder of a model, or none where it might differ from `reference`.

    `reference` is SentencePiece's own encoding of the same model.
    """
    if obstacle(proto, reference) is not None:
        return None
    encoder = kitoken.Kitoken.from_sentencepiece(model)
    # User-defined pieces are pieces; controls and the unknown piece written in a text are text.
    return partial(encoder.encode_all, encode_specials=["priority"])


def obstacle(proto: Any, reference: EncodeTexts) -> str | None:
    """Say what keeps kitoken from giving SentencePiece's ids for a model, or none."""
    return (
        _foreign_options(proto.trainer_spec, proto.normalizer_spec)
        or _foreign_pieces(proto)
        or _overlapping_specials(proto)
        or _piece_out_of_reach(proto, reference)
    )


def _foreign_options(trainer: Any, normalizer: Any) -> str | None:
    wanted = {
        "model_type": trainer.model_type == _BPE,
        "byte_fallback": trainer.byte_fallback,
        "treat_whitespace_as_suffix": not trainer.treat_whitespace_as_suffix,
        "normalization_rule_name": normalizer.name == "identity",
        "precompiled_charsmap": not normalizer.precompiled_charsmap,
        "add_dummy_prefix": not normalizer.add_dummy_prefix,
        "remove_extra_whitespaces": not normalizer.remove_extra_whitespaces,
        "escape_whitespaces": normalizer.escape_whitespaces,
    }
    return next((f"its {name}" for name, right in wanted.items() if not right), None)


def _normal(proto: Any) -> list[str]:
    return [piece.piece for piece in proto.pieces if piece.type == _NORMAL]


def _foreign_pieces(proto: Any) -> str | None:
    """Pieces that kitoken cuts texts inside of, merges out of turn, or leaves out."""
    known = frozenset(_normal(proto))
    scores: set[float] = set()
    for piece in proto.pieces:
        text = piece.piece
        if piece.type == _UNUSED:
            return f"the unused piece {text!r}"
        if piece.type != _NORMAL or len(text) == 1:
            continue
        if SPACE_SIGN in text.lstrip(SPACE_SIGN):
            return f"the piece {text!r}, with a space inside"
        if not any(text[:cut] in known and text[cut:] in known for cut in range(1, len(text))):
            return f"the piece {text!r}, which no two pieces make"
        if piece.score in scores or not math.isfinite(piece.score):
            return f"the piece {text!r}, whose score {piece.score} is not its own"
        scores.add(piece.score)
    return None


def _overlapping_specials(proto: Any) -> str | None:
    """Pieces that are found before the merges, where finding one could hide another."""
    trainer = proto.trainer_spec
    chosen = [piece.piece for piece in proto.pieces if piece.type == _USER_DEFINED]
    others = [piece.piece for piece in proto.pieces if piece.type in (_UNKNOWN, _CONTROL)]
    others += [trainer.unk_surface, trainer.bos_piece, trainer.eos_piece, trainer.pad_piece]
    for piece in chosen:
        if " " in piece or SPACE_SIGN in piece:
            return f"the user-defined piece {piece!r}, with a space"
    if "" in others:
        return "a control piece without a name"
    for piece, other in product(chosen, {*chosen, *others}):
        if piece != other and _share_characters(piece, other):
            return f"the user-defined piece {piece!r}, which can overlap {other!r}"
    return None


def _share_characters(one: str, other: str) -> bool:
    """Whether the two can stand in one text without standing apart."""
    shorter = min(len(one), len(other))
    return (
        one in other
        or other in one
        or any(one[-n:] == other[:n] or other[-n:] == one[:n] for n in range(1, shorter))
    )


def _piece_out_of_reach(proto: Any, reference: EncodeTexts) -> str | None:
    """A piece that the merges do not lead to from its own text."""
    ids: Sequence[tuple[int, str]] = [
        (number, piece.piece) for number, piece in enumerate(proto.pieces) if piece.type == _NORMAL
    ]
    encoded = reference([text for _, text in ids])
    missed = (text for (number, text), own in zip(ids, encoded, strict=True) if own != [number])
    return next((f"the piece {text!r}, which the merges pass by" for text in missed), None)
