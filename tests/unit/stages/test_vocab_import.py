"""A SentencePiece model made elsewhere is taken with its ids, or refused with all the reasons."""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sentencepiece
from transformers import AutoTokenizer

from polylm_core import tokenizer as tk
from polylm_core.artifacts import ShardSet
from polylm_core.errors import SourceError, StageError
from polylm_core.stages.vocab.config import VocabConfig
from polylm_core.stages.vocab.imported import adopt
from polylm_core.stages.vocab.stage import vocab
from tests.shards import make_shards
from tests.support import make_run
from tests.unit.test_tokenizer import SENTENCES, TRICKY, random_texts

LANGUAGES = ("eng_Latn", "deu_Latn", "tha_Thai")
TEXT = (*SENTENCES, "if a < b / c > d at 0x0A: skip") * 10
OPEN = {
    "max_parity": 9,
    "max_tokens_per_character": 9,
    "min_bytes_per_token": 1,
    "max_tokens_per_word": 9,
    "max_byte_fallback_share": 1,
}
USABLE = {
    "model_type": "bpe",
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "vocab_size": 600,
    "character_coverage": 1.0,
    "hard_vocab_limit": False,
    "minloglevel": 2,
}


def make_model(**options: Any) -> bytes:
    """A model as others train them: SentencePiece's defaults for whatever is not said."""
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=buffer, **{**USABLE, **options}
    )
    return buffer.getvalue()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return make_shards(tmp_path_factory.mktemp("shards"))


def importing(file: Path, *, sha256: str = "", gate: dict[str, Any] | None = None) -> VocabConfig:
    digest = sha256 or hashlib.sha256(file.read_bytes()).hexdigest()
    imported = {"uri": str(file), "sha256": digest, "license": "MIT"}
    return VocabConfig.model_validate({"imported": imported, "gate": gate or OPEN})


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("prefix", [True, False])
def test_an_adopted_model_keeps_its_ids_and_gets_a_twin(
    kind: str, prefix: bool, tmp_path: Path
) -> None:
    original = make_model(model_type=kind, add_dummy_prefix=prefix)
    model = adopt(original)
    theirs = sentencepiece.SentencePieceProcessor(model_proto=original)
    ours = tk.SentencePieceTokenizer(model)
    assert [ours.encode(text) for text in SENTENCES] == theirs.encode(list(SENTENCES))
    assert ours.pad_id == theirs.get_piece_size() == ours.vocab_size - 4
    assert [ours.piece(i) for i in range(ours.pad_id + 1, ours.vocab_size)] == list(tk.CHAT_PIECES)
    tk.export_huggingface(model, tmp_path)
    texts = [*SENTENCES, *TRICKY, *random_texts(model, 2000)]
    if prefix:  # a text that is a mark and nothing else gets no space from the twin
        texts = [text for text in texts if text not in tk.CHAT_PIECES]
    twin = tk.HuggingFaceTwin(tmp_path)
    assert twin.first_difference(ours, SENTENCES) is None
    different = [text for text in texts if twin.encode(text) != ours.encode(text)]
    # Of equally likely segmentations of `-------` the two may choose another.
    assert len(different) <= (2 if kind == "unigram" else 0)
    assert [text for text in texts if ours.decode(ours.encode(text)) != text] == []


def test_pieces_that_are_there_are_not_added(tmp_path: Path) -> None:
    marks = list(tk.CHAT_PIECES)
    model = make_model(pad_id=3, pad_piece="[PAD]", user_defined_symbols=marks)
    tokenizer = tk.SentencePieceTokenizer(adopt(model))
    assert tokenizer.pad_id == 3
    assert tokenizer.vocab_size == tk.SentencePieceTokenizer(model).vocab_size
    tk.export_huggingface(model, tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["pad_token"] == "[PAD]"


def test_transformers_opens_the_twin_of_an_imported_model(tmp_path: Path) -> None:
    model = adopt(make_model())
    tk.export_huggingface(model, tmp_path)
    twin = AutoTokenizer.from_pretrained(str(tmp_path))
    ours = tk.SentencePieceTokenizer(model)
    for text in ("<|user|>\nWählen Sie Datei\n<|assistant|>\n", *SENTENCES):
        assert twin(text).input_ids == ours.encode(text)
        assert twin.decode(ours.encode(text)) == text
    assert (twin.pad_token_id, twin.eos_token_id) == (ours.pad_id, 2)
    assert len(twin) == ours.vocab_size


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"normalization_rule_name": "nmt_nfkc"}, "it normalizes text (nmt_nfkc)"),
        ({"byte_fallback": False}, "it has no pieces for bytes"),
        ({"remove_extra_whitespaces": True}, "it removes repeated spaces"),
        ({"model_type": "char"}, "it is neither a BPE nor a unigram model"),
        ({"treat_whitespace_as_suffix": True}, "it does not mark spaces"),
        ({"bos_id": 2, "eos_id": 1}, "its first pieces are <unk>, </s>, <s> instead of"),
        ({"control_symbols": ["<|user|>"]}, "it has <|user|>, but not as user-defined"),
        ({"user_defined_symbols": ["<pad>"]}, "it has <pad>, but not for padding"),
    ],
)
def test_a_model_that_would_lose_text_or_meaning_is_refused(
    options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        adopt(make_model(**options))


def test_the_stage_publishes_an_imported_model_with_its_fertility(
    shards: ShardSet, tmp_path: Path
) -> None:
    file = tmp_path / "their.model"
    file.write_bytes(make_model())
    run = make_run(tmp_path, languages=LANGUAGES)
    made = vocab(importing(file), shards, run)
    assert (made.path / tk.MODEL_FILE).read_bytes() == adopt(file.read_bytes())
    assert made.manifest.params["imported"]["license"] == "MIT"
    rows = pq.read_table(made.path / "fertility.parquet").to_pylist()
    assert [row["language"] for row in rows] == list(LANGUAGES)
    config = importing(file)
    file.unlink()  # fetched already
    assert vocab(config, shards, replace(run, out=tmp_path / "again")).counts == made.counts


def test_an_imported_model_goes_through_the_gate(shards: ShardSet, tmp_path: Path) -> None:
    file = tmp_path / "their.model"
    file.write_bytes(make_model())
    config = importing(file, gate={"max_parity": 1.01})
    with pytest.raises(StageError, match=r"tha_Thai: .*import a model that knows the language"):
        vocab(config, shards, make_run(tmp_path, languages=LANGUAGES))


def test_another_file_than_the_recipe_means_is_refused(shards: ShardSet, tmp_path: Path) -> None:
    file = tmp_path / "their.model"
    file.write_bytes(make_model())
    run = make_run(tmp_path, languages=LANGUAGES)
    with pytest.raises(SourceError, match=r"sha256 is [0-9a-f]{64}, declared is 0{64}"):
        vocab(importing(file, sha256="0" * 64), shards, run)
    config = importing(file)
    file.unlink()
    with pytest.raises(SourceError, match=r"their\.model: cannot be read"):
        vocab(config, shards, run)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (json.dumps({"model": {"type": "BPE"}}).encode(), r"tokenizer\.json of Hugging Face"),
        (b"no model at all", "not a SentencePiece model"),
        (b"", "not a SentencePiece model"),
    ],
)
def test_what_is_no_sentencepiece_model_is_named(
    content: bytes, reason: str, shards: ShardSet, tmp_path: Path
) -> None:
    file = tmp_path / "their.model"
    file.write_bytes(content)
    with pytest.raises(StageError, match=reason):
        vocab(importing(file), shards, make_run(tmp_path, languages=LANGUAGES))
