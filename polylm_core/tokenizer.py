"""SentencePiece: training, encoding and the Hugging Face twin with the same ids.

In: sentences, or a `tokenizer.model`. Out: the model as bytes that depend on the sentences and the
parameters only, ids, and a folder that `transformers.AutoTokenizer` opens. As in PolyLM §1.4
(arXiv 2307.06018, §3.1): BPE, numbers split into digits, unknown characters as UTF-8 bytes; a
newline is the byte piece `<0x0A>`, as in its released code.

Text is never a control piece: `</s>` written in a document is encoded as characters. A chat mark
such as `<|user|>` always is one piece. U+2581 is SentencePiece's own sign for a space, so it comes
back as a space (`readable`); every other text comes back as it was.

A model that `vocab` imports may be a unigram model or put a space before a text; its twin does too.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2

from polylm_core.errors import CorruptArtifactError, StageError
from polylm_core.storage import write_atomic

MODEL_FILE = "tokenizer.model"
TWIN_FOLDER = "huggingface"

UNK_PIECE, BOS_PIECE, EOS_PIECE, PAD_PIECE = "<unk>", "<s>", "</s>", "<pad>"
UNK_ID, BOS_ID, EOS_ID, PAD_ID = 0, 1, 2, 3
"""PolyLM's later release ends documents and answers with id 2."""
CHAT_PIECES = ("<|system|>", "<|user|>", "<|assistant|>")

SPACE_SIGN = "▁"
MAX_SENTENCE_BYTES = 1 << 30
"""SentencePiece silently skips longer sentences, so the limit is one that no line reaches."""

_OPTIONS: dict[str, Any] = {
    "model_type": "bpe",
    "byte_fallback": True,
    "split_digits": True,
    # Curated text is NFC already; anything more would not come back on decoding.
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    # No space invented at the start of a text: a chat turn is encoded in parts.
    "add_dummy_prefix": False,
    "max_sentence_length": MAX_SENTENCE_BYTES,
    "unk_id": UNK_ID,
    "bos_id": BOS_ID,
    "eos_id": EOS_ID,
    "pad_id": PAD_ID,
    "user_defined_symbols": list(CHAT_PIECES),
    "minloglevel": 2,
}

# Fields of the model file that say where and how it was trained, not what it is.
_TRAINING_ENVIRONMENT = (
    "input",
    "input_format",
    "model_prefix",
    "num_threads",
    "max_sentence_length",
)


def train_sentencepiece(
    sentences: Iterator[str],
    *,
    vocab_size: int,
    character_coverage: float,
    num_threads: int = 1,
) -> bytes:
    """Train a BPE model and return the bytes of its `.model` file.

    Raises StageError when the sentences do not yield a vocabulary of that size.
    """
    buffer = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sentences,
            model_writer=buffer,
            vocab_size=vocab_size,
            character_coverage=character_coverage,
            num_threads=num_threads,
            **_OPTIONS,
        )
    except RuntimeError as error:
        raise StageError(
            f"SentencePiece cannot make {vocab_size} entries from the sample ({error}); "
            "change vocab.vocab_size or vocab.character_coverage, or raise vocab.sample_bytes"
        ) from error
    return _without_environment(buffer.getvalue())


def _without_environment(model: bytes) -> bytes:
    proto = parse_model(model)
    for field in _TRAINING_ENVIRONMENT:
        proto.trainer_spec.ClearField(field)
    return bytes(proto.SerializeToString(deterministic=True))


def parse_model(model: bytes) -> Any:
    """The fields of a `.model` file, as SentencePiece's `ModelProto`; raises ValueError."""
    try:
        if not model:  # SentencePiece takes no bytes for a model without pieces
            raise RuntimeError("it is empty")
        sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
        raise ValueError(f"not a SentencePiece model ({error})") from error
    proto = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    proto.ParseFromString(model)
    return proto


class SentencePieceTokenizer:
    """A loaded model."""

    bos_id, eos_id, unk_id = BOS_ID, EOS_ID, UNK_ID

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.pad_id: int = self._processor.pad_id()
        self.vocab_size: int = self._processor.get_piece_size()
        self.byte_ids = frozenset(i for i in range(self.vocab_size) if self._processor.IsByte(i))
        """Ids that stand for one byte of a character outside the vocabulary, or a newline."""
        self.newline_id: int = self._processor.piece_to_id("<0x0A>")

    @cached_property
    def proto(self) -> Any:
        """The model as its `ModelProto`: pieces, options of training and of normalisation."""
        return parse_model(self._model)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without bos and eos."""
        return list(self._processor.encode(text, out_type=int))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of several texts; in one thread, because the caller runs one process a core."""
        return list(self._processor.encode(list(texts), out_type=int, num_threads=1))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; control pieces are left out."""
        return str(self._processor.decode([int(i) for i in ids]))

    def piece(self, piece_id: int) -> str:
        """The piece of an id, with `▁` for a space."""
        return str(self._processor.id_to_piece(piece_id))


def load(path: Path) -> SentencePieceTokenizer:
    """Load a `tokenizer.model`; raises CorruptArtifactError when it is not one."""
    try:
        model = path.read_bytes()
        if not model:  # SentencePiece takes no bytes for a model without pieces
            raise ValueError("the file is empty")
        return SentencePieceTokenizer(model)
    except (OSError, RuntimeError, ValueError) as error:
        raise CorruptArtifactError(
            f"{path}: not a SentencePiece model ({error}); run `dvc repro vocab`"
        ) from error


def readable(text: str) -> str:
    """The text as it comes back from its ids: SentencePiece reads U+2581 as a space."""
    return text.replace(SPACE_SIGN, " ")


def export_huggingface(model: bytes, folder: Path, *, context_tokens: int | None = None) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` with the ids of `model`."""
    folder.mkdir(parents=True, exist_ok=True)
    proto = parse_model(model)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": UNK_PIECE,
        "bos_token": BOS_PIECE,
        "eos_token": EOS_PIECE,
        "pad_token": proto.pieces[proto.trainer_spec.pad_id].piece,
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
    }
    if context_tokens is not None:
        config["model_max_length"] = context_tokens
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    write_atomic(folder / "tokenizer_config.json", text.encode())
    write_atomic(folder / "tokenizer.json", _twin(proto).to_str(pretty=True).encode())


def _twin(proto: Any) -> tokenizers.Tokenizer:
    """The same model in Hugging Face's `tokenizers`: no pre-tokenizer, bytes for the unknown."""
    pieces = proto.pieces
    is_bpe = proto.trainer_spec.model_type == proto.trainer_spec.BPE
    twin = tokenizers.Tokenizer(_bpe(pieces) if is_bpe else _unigram(pieces))
    marks = [piece.piece for piece in pieces if piece.type == piece.USER_DEFINED]
    steps = [tokenizers.normalizers.Replace(" ", SPACE_SIGN)]
    decoding = [
        tokenizers.decoders.Replace(SPACE_SIGN, " "),
        tokenizers.decoders.ByteFallback(),
        tokenizers.decoders.Fuse(),
    ]
    prefixed = bool(proto.normalizer_spec.add_dummy_prefix)
    if prefixed:
        # One space before the whole text, whether it begins with a mark or not. Marks are looked
        # for after that, and are normalized themselves: alone, they must stay as they are.
        alone = "|".join(re.escape(mark) for mark in marks)
        start = tokenizers.Regex(rf"\A(?=[\s\S])(?!(?:{alone})\z)")
        steps.append(tokenizers.normalizers.Replace(start, SPACE_SIGN))
        decoding.append(tokenizers.decoders.Strip(" ", 1, 0))
    twin.normalizer = tokenizers.normalizers.Sequence(steps)
    twin.decoder = tokenizers.decoders.Sequence(decoding)
    controls = [piece.piece for piece in pieces if piece.type in (piece.UNKNOWN, piece.CONTROL)]
    twin.add_special_tokens([tokenizers.AddedToken(p, normalized=False) for p in controls])
    twin.add_tokens([tokenizers.AddedToken(p, normalized=prefixed) for p in marks])
    return twin


def _bpe(pieces: Sequence[Any]) -> tokenizers.models.BPE:
    best_first = sorted((p for p in pieces if p.type == p.NORMAL), key=lambda p: -p.score)
    return tokenizers.models.BPE(
        vocab={piece.piece: number for number, piece in enumerate(pieces)},
        merges=_merges([piece.piece for piece in best_first]),
        unk_token=UNK_PIECE,
        fuse_unk=True,
        byte_fallback=True,
    )


def _unigram(pieces: Sequence[Any]) -> tokenizers.models.Unigram:
    """All pieces, with scores under which text never becomes a control or byte piece.

    `tokenizers` adds scores in float64 and SentencePiece in float32, so of equally likely
    segmentations of a repeated sign they may choose another; `vocab` checks on real text.
    """
    never = min(piece.score for piece in pieces if piece.type == piece.NORMAL) - 1000
    return tokenizers.models.Unigram(
        [(piece.piece, piece.score if piece.type == piece.NORMAL else never) for piece in pieces],
        unk_id=UNK_ID,
        byte_fallback=True,
    )


def _merges(pieces: Sequence[str]) -> list[tuple[str, str]]:
    """The merges that lead to each piece, best piece first (pieces are in order of score).

    SentencePiece joins any two neighbours whose union is a piece, and of equal unions the leftmost;
    `tokenizers` ranks each split on its own. The longest left side first comes nearest to
    leftmost; `vocab` checks on real text that the two give the same ids.
    """
    known = frozenset(pieces)
    return [
        (piece[:cut], piece[cut:])
        for piece in pieces
        for cut in range(len(piece) - 1, 0, -1)
        if piece[:cut] in known and piece[cut:] in known
    ]


class HuggingFaceTwin:
    """The exported tokenizer, to compare with SentencePiece and to encode for its models."""

    eos_id = EOS_ID

    def __init__(self, folder: Path) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        # As in SentencePiece, control pieces written in a text are text; `transformers` has
        # the same switch as `split_special_tokens`, off by default so that chats end turns.
        self._tokenizer.encode_special_tokens = True

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""
        return list(self._tokenizer.encode(text).ids)

    def first_difference(
        self, tokenizer: SentencePieceTokenizer, texts: Iterable[str]
    ) -> str | None:
        """The first text that the two encode differently, or none."""
        return next((t for t in texts if self.encode(t) != tokenizer.encode(t)), None)
