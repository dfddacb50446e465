"""kitoken gives SentencePiece's ids on real and on hard text, or is not used for a model."""

from __future__ import annotations

import io
import lzma
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from polylm_core import tokenizer as tk
from polylm_core.errors import StageError
from polylm_core.fast_encoder import fast_encoder, obstacle
from tests.architecture.closure import ROOT

HARD = (
    "",
    " ",
    "  two leading, two trailing  ",
    "line one\n\n\nline two\r\n\ttab\x0b\x1f",
    "<|user|>\nHi  there 42\n<|assistant|>\n<|user|<|user|><|user|>>",
    "literal </s>, <s>, <pad>, <unk>, <0x0A> and \u2047 \u2047 stay text",
    "a▁b ▁▁ c ▁",
    "ﷺ\ufeff\u200b\u2028\x00 e\u0301\u0323 กำ นํ้า \U000fffff\u0378\ufffd\uffff",
    "😀👩‍👩‍👧🇩🇪❤️‍🔥 1234567890 ٣١٤ ๑๒๓ ½ ²",
    "a" * 5_000,
    "สวัสดี" * 1_000 + "我们" * 1_000,
    "-" * 700 + "=" * 33,
)


def lines(source: Path) -> list[str]:
    return lzma.open(source, "rt", encoding="utf-8").read().split("\n")


@pytest.fixture(scope="module")
def real() -> dict[str, list[str]]:
    """Lines of the default recipe's 18 languages."""
    files = sorted((ROOT / "data/00_sources/chromium-l10n").glob("*_*.txt.xz"))
    return {file.name[:8]: lines(file) for file in files}


def train(sentences: Iterator[str], **changes: Any) -> bytes:
    buffer = io.BytesIO()
    options = {**tk._OPTIONS, "vocab_size": 3_000, "character_coverage": 0.999, **changes}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences, model_writer=buffer, **options
    )
    return buffer.getvalue()


@pytest.fixture(scope="module")
def train_on_real(real: dict[str, list[str]]) -> Callable[..., bytes]:
    def trained(**changes: Any) -> bytes:
        sample = (line for texts in real.values() for line in islice(texts, 0, 1_000, 2))
        return train(sample, **changes)

    return trained


@pytest.fixture(scope="module")
def model(train_on_real: Callable[..., bytes]) -> bytes:
    return train_on_real()


def mixed_texts(model: bytes, real: dict[str, list[str]], number: int) -> list[str]:
    """Pieces, parts of pieces, repeated and foreign characters and control marks, run together."""
    draw = random.Random(0)
    tokenizer = tk.SentencePieceTokenizer(model)
    pieces = [tokenizer.piece(i).replace("▁", " ") for i in range(263, tokenizer.vocab_size)]
    characters = sorted({c for texts in real.values() for line in texts[:300] for c in line})
    marks = [*tk.CHAT_PIECES, "</s>", "<unk>", "<0x0A>", "▁", "\x00", "\n", "\t", "e\u0301", " "]
    texts = []
    for _ in range(number):
        word, character = draw.choice(pieces), draw.choice(characters)
        anything = chr(
            draw.choice([draw.randrange(0x20, 0xD800), draw.randrange(0xE000, 0x110000)])
        )
        parts = [word, word[: draw.randint(1, len(word))], draw.choice(pieces), character]
        parts += [character * draw.randint(2, 9), anything, draw.choice(marks)]
        texts.append("".join(draw.choices(parts, [8, 4, 4, 2, 2, 1, 2], k=draw.randint(1, 24))))
    return texts


def proto_of(model: bytes) -> Any:
    return tk._parse(model)


def reference(model: bytes) -> Callable[[list[str]], list[list[int]]]:
    return tk.SentencePieceTokenizer(model).encode_batch


def differing(model: bytes, texts: list[str]) -> list[str]:
    encode = fast_encoder(model, proto_of(model), reference(model))
    assert encode is not None, obstacle(proto_of(model), reference(model))
    expected = reference(model)(texts)
    return [t for t, ids, own in zip(texts, encode(texts), expected, strict=True) if ids != own]


def test_ids_are_equal_on_lines_and_documents_of_18_languages(
    model: bytes, real: dict[str, list[str]]
) -> None:
    assert len(real) == 18
    for texts in real.values():
        assert differing(model, [*texts[:1_500], "\n".join(texts[1_500:3_000])]) == []


def test_ids_are_equal_on_hard_and_on_mixed_texts(model: bytes, real: dict[str, list[str]]) -> None:
    assert differing(model, [*HARD, *mixed_texts(model, real, 10_000)]) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"split_by_unicode_script": False, "split_digits": False},
        {"allow_whitespace_only_pieces": True},
        {"user_defined_symbols": ["\n", "\t", "<|user|>"]},
        {"user_defined_symbols": []},
        {"character_coverage": 0.98},
    ],
    ids=str,
)
def test_ids_are_equal_for_other_models_it_vouches_for(
    changes: dict[str, Any], train_on_real: Callable[..., bytes], real: dict[str, list[str]]
) -> None:
    model = train_on_real(**changes)
    assert differing(model, [*HARD, *mixed_texts(model, real, 2_000)]) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "unigram"}, "model_type"),
        ({"byte_fallback": False}, "byte_fallback"),
        ({"normalization_rule_name": "nmt_nfkc"}, "normalization_rule_name"),
        ({"add_dummy_prefix": True}, "add_dummy_prefix"),
        ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces"),
        ({"treat_whitespace_as_suffix": True}, "treat_whitespace_as_suffix"),
        ({"split_by_whitespace": False}, "space inside"),
        ({"user_defined_symbols": ["<|user|>", "<|u"]}, "can overlap"),
        ({"user_defined_symbols": ["a b"]}, "with a space"),
    ],
    ids=str,
)
def test_a_model_it_cannot_vouch_for_stays_with_sentencepiece(
    changes: dict[str, Any], reason: str, train_on_real: Callable[..., bytes]
) -> None:
    model = train_on_real(**changes)
    assert reason in str(obstacle(proto_of(model), reference(model)))
    tokenizer = tk.SentencePieceTokenizer(model)
    flat = tokenizer.encode_batch_flat(HARD)
    assert flat.ids.tolist() == [i for text in HARD for i in tokenizer.encode(text)]


def _tie(proto: Any) -> None:
    for piece in proto.pieces:
        piece.score = 0.0 if piece.type == piece.NORMAL else piece.score


def _leave_unused(proto: Any) -> None:
    next(p for p in proto.pieces if p.type == p.NORMAL).type = 5


def _drop_letters(proto: Any) -> None:
    proto.pieces.remove(next(p for p in proto.pieces if p.piece == "e"))


def _pass_by(proto: Any) -> None:
    """`abcd` is a piece of the pieces `ab` and `cd`, but `bc` is merged before them."""
    for piece in [p for p in proto.pieces if p.type == p.NORMAL]:
        proto.pieces.remove(piece)
    for number, text in enumerate(["bc", "ab", "cd", "abcd", "▁", *"abcd"]):
        proto.pieces.add(piece=text, score=-float(number))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_tie, "not its own"),
        (_leave_unused, "unused piece"),
        (_drop_letters, "no two pieces make"),
        (_pass_by, "'abcd', which the merges pass by"),
    ],
)
def test_a_model_made_by_hand_is_looked_at_piece_by_piece(
    change: Callable[[Any], None], reason: str, model: bytes
) -> None:
    proto = proto_of(model)
    change(proto)
    changed = proto.SerializeToString()
    assert reason in str(obstacle(proto, reference(changed)))


def test_a_batch_is_one_flat_array_of_sentencepiece_s_ids(model: bytes) -> None:
    tokenizer = tk.SentencePieceTokenizer(model)
    flat = tokenizer.encode_batch_flat(HARD)
    expected = [tokenizer.encode(text) for text in HARD]
    assert flat.ids.dtype == "int32"
    assert flat.lengths.tolist() == [len(ids) for ids in expected]
    assert flat.ids.tolist() == [i for ids in expected for i in ids]
    assert len(tokenizer.encode_batch_flat([]).ids) == 0


def test_ids_that_differ_stop_the_work(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tk.SentencePieceTokenizer(model)
    monkeypatch.setattr(tk, "fast_encoder", lambda *_: lambda texts: [[7] for _ in texts])
    with pytest.raises(StageError, match=r"'some text' differently"):
        tokenizer.encode_batch_flat(["some text"])
