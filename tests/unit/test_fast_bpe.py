"""Native code gives SentencePiece's ids on real and on hard text, or leaves the model to it."""

from __future__ import annotations

import io
import lzma
import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece

from polylm_core import tokenizer as tk
from polylm_core.errors import StageError
from polylm_core.fast_bpe import texts as kernels
from polylm_core.fast_bpe.model import FastBpe, obstacle
from polylm_core.flat_encoder import FlatEncoder
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


def differing(model: bytes, texts: list[str]) -> list[str]:
    """The texts whose ids are not SentencePiece's."""
    tokenizer = tk.SentencePieceTokenizer(model)
    assert obstacle(tokenizer.proto) is None
    ids, lengths = FastBpe(tokenizer.proto).encode(pa.array(texts))
    own = np.split(ids, np.cumsum(lengths)[:-1])
    expected = tokenizer.encode_batch(texts)
    return [t for t, one, two in zip(texts, own, expected, strict=True) if one.tolist() != two]


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
        {"split_by_whitespace": False},
        {"add_dummy_prefix": True},
        {"user_defined_symbols": ["\n", "\t", "<|user|>", "<|u", "ab", "bc", "的", "1"]},
        {"user_defined_symbols": []},
        {"character_coverage": 0.98},
    ],
    ids=str,
)
def test_ids_are_equal_for_models_of_other_options(
    changes: dict[str, Any], train_on_real: Callable[..., bytes], real: dict[str, list[str]]
) -> None:
    model = train_on_real(**changes)
    assert differing(model, [*HARD, "abc bcab", *mixed_texts(model, real, 2_000)]) == []


def _shuffle_scores(proto: Any, draw: random.Random) -> None:
    """Merges in any order, many of them with equal scores."""
    for piece in proto.pieces:
        piece.score = -float(draw.randrange(500)) if piece.type == piece.NORMAL else 0.0


def _drop_pieces(proto: Any, draw: random.Random) -> None:
    """Letters without a piece that stand in pieces, and pieces that no merges lead to."""
    for piece in [p for p in proto.pieces if p.type == p.NORMAL and p.piece != "▁"]:
        if draw.random() < 0.2:
            proto.pieces.remove(piece)


def _zeros_of_both_signs(proto: Any, draw: random.Random) -> None:
    for piece in proto.pieces:
        piece.score = draw.choice([0.0, -0.0, 1.5, -1.5])


@pytest.mark.parametrize("change", [_shuffle_scores, _drop_pieces, _zeros_of_both_signs])
def test_ids_are_equal_for_models_made_by_hand(
    change: Callable[[Any, random.Random], None], model: bytes, real: dict[str, list[str]]
) -> None:
    proto = tk.SentencePieceTokenizer(model).proto
    change(proto, random.Random(1))
    texts = [*HARD, *real["deu_Latn"][:200], *mixed_texts(model, real, 2_000)]
    assert differing(proto.SerializeToString(), texts) == []


def test_a_memo_that_is_full_is_emptied_and_ids_stay_equal(
    model: bytes, real: dict[str, list[str]]
) -> None:
    draw = random.Random(2)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(3, 12))) for _ in range(200_000)]
    tokenizer = tk.SentencePieceTokenizer(model)
    fast = FastBpe(tokenizer.proto)
    text = " ".join(words)
    assert fast.encode(pa.array([text]))[0].tolist() == tokenizer.encode(text)
    assert 0 < fast._memo.used[0] < len(set(words))
    assert fast._memo.used[0] <= kernels.MEMO_SLOTS // 2
    again = "\n".join(real["fra_Latn"][:500])
    assert fast.encode(pa.array([again]))[0].tolist() == tokenizer.encode(again)


def test_a_long_run_takes_time_that_grows_with_it(model: bytes) -> None:
    fast = FastBpe(tk.SentencePieceTokenizer(model).proto)
    seconds = {}
    for characters in (20_000, 200_000):
        text = pa.array(["ab" * (characters // 2)])
        begin = time.process_time()
        fast.encode(text)
        seconds[characters] = time.process_time() - begin
    assert seconds[200_000] < 40 * seconds[20_000]  # of a hundred, if it were quadratic


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "unigram"}, "model_type"),
        ({"byte_fallback": False}, "byte_fallback"),
        ({"normalization_rule_name": "nmt_nfkc"}, "precompiled_charsmap"),
        ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces"),
        ({"treat_whitespace_as_suffix": True}, "treat_whitespace_as_suffix"),
        ({"user_defined_symbols": ["a b"]}, "with a space"),
    ],
    ids=str,
)
def test_a_model_of_options_it_does_not_do_stays_with_sentencepiece(
    changes: dict[str, Any], reason: str, train_on_real: Callable[..., bytes]
) -> None:
    tokenizer = tk.SentencePieceTokenizer(train_on_real(**changes))
    encoder = FlatEncoder(tokenizer)
    assert reason in str(encoder.obstacle)
    flat = encoder.encode(pa.array(HARD))
    assert flat.ids.tolist() == [i for text in HARD for i in tokenizer.encode(text)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": 5}, "the unused piece"),
        ({"score": float("nan")}, "without a score"),
        ({"piece": "a b"}, "with a space that no text has"),
        ({"type": 3}, "no piece of its own for a space"),
    ],
)
def test_a_piece_it_does_not_do_is_named(change: dict[str, Any], reason: str, model: bytes) -> None:
    proto = tk.SentencePieceTokenizer(model).proto
    space = next(piece for piece in proto.pieces if piece.piece == "▁")
    for name, value in change.items():
        setattr(space, name, value)
    assert reason in str(obstacle(proto))


def test_a_batch_is_one_flat_array_and_may_be_a_part_of_another(model: bytes) -> None:
    tokenizer = tk.SentencePieceTokenizer(model)
    encoder = FlatEncoder(tokenizer)
    assert encoder.obstacle is None
    flat = encoder.encode(pa.array(["before", *HARD, "after"]).slice(1, len(HARD)))
    expected = [tokenizer.encode(text) for text in HARD]
    assert flat.ids.dtype == "int32"
    assert flat.lengths.tolist() == [len(ids) for ids in expected]
    assert flat.ids.tolist() == [i for ids in expected for i in ids]
    assert len(encoder.encode(pa.array([], pa.string())).ids) == 0
    assert encoder.encode(pa.array(["", ""])).lengths.tolist() == [0, 0]


def test_ids_that_differ_stop_the_work(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = FlatEncoder(tk.SentencePieceTokenizer(model))
    monkeypatch.setattr(encoder.tokenizer, "encode", lambda text: [7])
    with pytest.raises(StageError, match=r"'some text' differently"):
        encoder.encode(pa.array(["some text"]))
