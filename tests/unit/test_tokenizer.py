"""SentencePiece and its Hugging Face twin: same ids, text that comes back, bytes that repeat."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from polylm_core import tokenizer as tk
from polylm_core.errors import CorruptArtifactError, StageError

SENTENCES = (
    "The quick brown fox jumps over the lazy dog; the dog sleeps on, the fox runs.",
    "Der schnelle braune Fuchs springt über den faulen Hund, der Hund schläft weiter.",
    "Wählen Sie Datei – Speichern unter und geben Sie einen Namen für die Datei ein.",
    "快速的棕色狐狸跳过了那只懒狗，狗还在睡觉。选择文件，然后保存。",
    "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ เลือกแฟ้มแล้วบันทึก",
    "الثعلب البني السريع يقفز فوق الكلب الكسول. اختر ملف ثم احفظ.",
    "השועל החום המהיר קופץ מעל הכלב העצלן. בחר קובץ ושמור.",
    "빠른 갈색 여우가 게으른 개를 뛰어넘는다. 파일을 선택하고 저장합니다.",
    "In 2023 there were 1,234,567 files of 89 kinds.",
    "--------  ========  a = b == c === d ==== e",
)
TRICKY = (
    "",
    " ",
    "  two leading, two trailing  ",
    "line one\n\n\nline two\r\n\ttab",
    "<|user|>\nHi  there 42\n<|assistant|>\n你好😀👩‍👩‍👧",
    "<|system|><|system|> <|user|",
    "literal </s>, <s>, <pad>, <unk> and <0x0A> stay text",
    "ﷺ\ufeff\u200b\u2028\u2047\x00 e\u0301 \U000fffff",
    "1234567890 3.14159 ٣١٤ ๑๒๓",
    "สุนัข ไม่มี ช่องว่าง",
)


def train(**changes: float) -> bytes:
    options = {"vocab_size": 700, "character_coverage": 0.99, **changes}
    return tk.train_sentencepiece(
        iter(SENTENCES * 3),
        vocab_size=int(options["vocab_size"]),
        character_coverage=options["character_coverage"],
        num_threads=int(options.get("num_threads", 1)),
    )


@pytest.fixture(scope="module")
def model() -> bytes:
    return train()


@pytest.fixture(scope="module")
def twin_folder(model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twin")
    tk.export_huggingface(model, folder, context_tokens=256)
    return folder


def random_texts(model: bytes, number: int) -> list[str]:
    """Texts of pieces, parts of pieces and the tricky texts' characters, run together."""
    draw = random.Random(0)
    tokenizer = tk.SentencePieceTokenizer(model)
    pieces = [tokenizer.piece(i).replace("▁", " ") for i in range(263, tokenizer.vocab_size)]
    characters = sorted({character for text in TRICKY for character in text})
    texts = []
    for _ in range(number):
        word = draw.choice(pieces)
        parts = [word, word, word[: draw.randint(1, len(word))], draw.choice(pieces)]
        parts += [draw.choice(characters), draw.choice(tk.CHAT_PIECES)]
        texts.append("".join(draw.choices(parts, [4, 4, 4, 4, 2, 1], k=draw.randint(1, 16))))
    return texts


def test_every_text_comes_back_from_its_ids(model: bytes) -> None:
    tokenizer = tk.SentencePieceTokenizer(model)
    for text in (*SENTENCES, *TRICKY, *random_texts(model, 3000)):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_space_sign_is_read_as_a_space(model: bytes) -> None:
    tokenizer = tk.SentencePieceTokenizer(model)
    assert tokenizer.decode(tokenizer.encode("a▁b")) == tk.readable("a▁b") == "a b"


def test_the_twin_gives_the_same_ids(model: bytes, twin_folder: Path) -> None:
    texts = (*SENTENCES, *TRICKY, "a▁b", *random_texts(model, 3000))
    tokenizer = tk.SentencePieceTokenizer(model)
    assert tk.HuggingFaceTwin(twin_folder).first_difference(tokenizer, texts) is None


def test_a_twin_that_differs_is_found(model: bytes, twin_folder: Path, tmp_path: Path) -> None:
    content = json.loads((twin_folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["merges"] = content["model"]["merges"][::-1]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    twin = tk.HuggingFaceTwin(tmp_path)
    tokenizer = tk.SentencePieceTokenizer(model)
    assert twin.first_difference(tokenizer, ["", *SENTENCES]) in SENTENCES


def test_marks_of_a_chat_are_single_ids_and_a_newline_is_a_byte(model: bytes) -> None:
    tokenizer = tk.SentencePieceTokenizer(model)
    ids = tokenizer.encode("<|user|>\n<|assistant|>\n")
    assert [tokenizer.piece(i) for i in ids] == ["<|user|>", "<0x0A>", "<|assistant|>", "<0x0A>"]
    assert tokenizer.newline_id in tokenizer.byte_ids
    assert len(tokenizer.byte_ids) == 256


def test_control_pieces_have_polylm_s_ids_and_never_come_from_text(model: bytes) -> None:
    tokenizer = tk.SentencePieceTokenizer(model)
    assert [tokenizer.piece(i) for i in range(4)] == ["<unk>", "<s>", "</s>", "<pad>"]
    assert (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (0, 1, 2, 3)
    assert not {0, 1, 2, 3} & set(tokenizer.encode("<unk><s></s><pad>"))
    assert tokenizer.decode([1, *tokenizer.encode("text"), 2, 3]) == "text"


def test_digits_stand_alone(model: bytes) -> None:
    tokenizer = tk.SentencePieceTokenizer(model)
    pieces = [tokenizer.piece(i) for i in range(tokenizer.vocab_size)]
    assert not [p for p in pieces[263:] if any(c.isdigit() for c in p) and len(p) > 1]


def test_a_batch_gives_the_ids_of_its_texts(model: bytes) -> None:
    tokenizer = tk.SentencePieceTokenizer(model)
    assert tokenizer.encode_batch(TRICKY) == [tokenizer.encode(text) for text in TRICKY]


def test_the_model_s_bytes_depend_on_neither_threads_nor_process(model: bytes) -> None:
    code = (
        "import hashlib; from tests.unit.test_tokenizer import train;"
        "print(hashlib.sha256(train(num_threads={threads})).hexdigest())"
    )
    digests = set()
    for threads, seed, locale, zone in ((1, "1", "C", "UTC"), (3, "2", "C.UTF-8", "Asia/Tokyo")):
        environment = os.environ | {"PYTHONHASHSEED": seed, "LC_ALL": locale, "TZ": zone}
        command = [sys.executable, "-c", code.format(threads=threads)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1
    assert train() == model


def test_the_model_names_no_path_and_no_thread(model: bytes) -> None:
    trainer = tk.parse_model(model).trainer_spec
    assert not trainer.HasField("num_threads")
    assert not trainer.HasField("model_prefix")
    assert not list(trainer.input)


def test_a_vocabulary_the_sample_cannot_fill_is_an_error_that_says_what_to_change() -> None:
    with pytest.raises(StageError, match=r"50000 entries.*vocab\.vocab_size"):
        train(vocab_size=50_000)


def test_a_vocabulary_without_room_for_the_characters_is_an_error() -> None:
    with pytest.raises(StageError, match="300 entries"):
        train(vocab_size=300)


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tokenizer.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"tokenizer\.model.*dvc repro vocab"):
        tk.load(path)


def test_transformers_opens_the_twin(model: bytes, twin_folder: Path) -> None:
    from transformers import AutoTokenizer  # costs seconds: only this test needs it

    loaded = AutoTokenizer.from_pretrained(str(twin_folder), local_files_only=True)
    tokenizer = tk.SentencePieceTokenizer(model)
    assert len(loaded) == tokenizer.vocab_size
    assert (loaded.eos_token_id, loaded.pad_token_id, loaded.model_max_length) == (2, 3, 256)
    for text in (*SENTENCES, *TRICKY):
        ids = tokenizer.encode(text)
        assert loaded(text, split_special_tokens=True)["input_ids"] == ids
        assert loaded.decode(ids) == text
    turn = "<|user|>\nHi\n<|assistant|>\nHello"
    assert loaded(f"{turn}</s>")["input_ids"] == [*tokenizer.encode(turn), 2]
