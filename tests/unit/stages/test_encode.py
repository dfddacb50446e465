"""`encode` writes every document once, ended by `</s>`, and takes up where it was killed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polylm_core import tokenizer as tk
from polylm_core.artifacts import ShardSet, Tokenizer, TokenSet
from polylm_core.compute.local import LocalBackend
from polylm_core.errors import MismatchedArtifactError, StageError
from polylm_core.records import DOCUMENT_SCHEMA, write_parts
from polylm_core.stages.encode.config import EncodeConfig
from polylm_core.stages.encode.stage import encode
from polylm_core.stages.vocab.config import VocabConfig
from polylm_core.stages.vocab.stage import vocab
from polylm_core.token_files import TokenFile, list_streams
from tests.shards import documents, make_shards, pairs
from tests.support import make_run

LANGUAGES = ("eng_Latn", "deu_Latn", "tha_Thai")
PAIRS = ("eng_Latn-deu_Latn", "eng_Latn-nld_Latn", "eng_Latn-tha_Thai")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return make_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def tokenizer(shards: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    config = VocabConfig(vocab_size=420, character_coverage=0.999, sample_bytes=20_000)
    return vocab(config, shards, make_run(tmp_path_factory.mktemp("vocab"), languages=LANGUAGES))


@pytest.fixture(scope="module")
def tokens(
    shards: ShardSet, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> TokenSet:
    run = make_run(tmp_path_factory.mktemp("encode"), languages=LANGUAGES)
    return encode(EncodeConfig(), shards, tokenizer, run)


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_there_is_a_stream_a_language_and_one_a_pair_of_languages(
    tokens: TokenSet, split: str
) -> None:
    TokenSet.load(tokens.path)
    assert list_streams(tokens.path / split) == tuple(sorted((*LANGUAGES, *PAIRS)))


def test_documents_come_back_and_end_with_eos(tokens: TokenSet, tokenizer: Tokenizer) -> None:
    loaded = tk.load(tokenizer.path / tk.MODEL_FILE)
    for language in LANGUAGES:
        for split, number in (("train", 40), ("held_out", 4)):
            file = TokenFile.open(tokens.path / split / language)
            expected = documents(language, number, split=split)
            assert len(file) == number
            for i, document in enumerate(expected):
                ids = file.document(i).tolist()
                assert ids[-1] == 2
                assert loaded.decode(ids[:-1]) == document.text


def test_the_map_leads_from_a_token_to_its_document(tokens: TokenSet) -> None:
    file = TokenFile.open(tokens.path / "train" / "deu_Latn")
    rows = pq.read_table(tokens.path / "train" / "deu_Latn.documents.parquet").to_pylist()
    assert [row["id"] for row in rows] == [d.id for d in documents("deu_Latn", 40, split="train")]
    assert [row["first_token"] for row in rows] == [file.document_span(i)[0] for i in range(40)]
    assert rows[file.document_of(rows[5]["first_token"])]["id"] == rows[5]["id"]


def test_half_of_the_pairs_have_english_first(tokens: TokenSet, tokenizer: Tokenizer) -> None:
    loaded = tk.load(tokenizer.path / tk.MODEL_FILE)
    file = TokenFile.open(tokens.path / "train" / "eng_Latn-tha_Thai")
    english_first = 0
    for i, pair in enumerate(pairs("tha_Thai", 40, split="train")):
        lines = loaded.decode(file.document(i).tolist()).split("\n")
        assert sorted(lines) == sorted((pair.text_a, pair.text_b))
        english_first += lines[0] == pair.text_a
    assert 10 < english_first < 30


def test_a_language_outside_the_recipe_gets_a_stream_of_pairs(
    tokens: TokenSet, tokenizer: Tokenizer
) -> None:
    loaded = tk.load(tokenizer.path / tk.MODEL_FILE)
    text = loaded.decode(TokenFile.open(tokens.path / "train" / "eng_Latn-nld_Latn").tokens)
    assert pairs("nld_Latn", 40, split="train")[0].text_b in text


def test_counts_are_those_of_the_files(tokens: TokenSet) -> None:
    for split in ("train", "held_out"):
        for name in list_streams(tokens.path / split):
            counted = tokens.counts[split][name]
            file = TokenFile.open(tokens.path / split / name)
            assert counted["tokens"] == len(file.tokens)
            assert counted["documents"] == len(file)
            assert counted["truncated_tokens"] == 0
    texts = [d.text for d in documents("tha_Thai", 40, split="train")]
    assert tokens.counts["train"]["tha_Thai"]["bytes"] == sum(len(t.encode()) for t in texts)


def test_what_is_cut_off_is_counted(
    shards: ShardSet, tokenizer: Tokenizer, tokens: TokenSet, tmp_path: Path
) -> None:
    run = make_run(tmp_path, languages=LANGUAGES)
    cut = encode(EncodeConfig(max_tokens_per_document=10), shards, tokenizer, run)
    file = TokenFile.open(cut.path / "train" / "eng_Latn")
    assert set(file.sizes.tolist()) == {10}
    assert {int(file.document(i)[-1]) for i in range(len(file))} == {2}
    counted = cut.counts["train"]["eng_Latn"]
    whole = tokens.counts["train"]["eng_Latn"]["tokens"]
    assert counted["tokens"] + counted["truncated_tokens"] == whole


def test_the_same_bytes_come_from_one_worker_and_from_two(
    shards: ShardSet, tokenizer: Tokenizer, tokens: TokenSet, tmp_path: Path
) -> None:
    backend = LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1)
    run = replace(make_run(tmp_path, languages=LANGUAGES), backend=backend)
    assert encode(EncodeConfig(), shards, tokenizer, run).fingerprint == tokens.fingerprint


def test_a_token_set_refuses_another_tokenizer(
    shards: ShardSet, tokenizer: Tokenizer, tokens: TokenSet, tmp_path: Path
) -> None:
    tokens.require_made_from("vocab", tokenizer)
    config = VocabConfig(vocab_size=400, character_coverage=0.999, sample_bytes=20_000)
    other = vocab(config, shards, make_run(tmp_path, languages=LANGUAGES))
    with pytest.raises(MismatchedArtifactError, match="dvc repro encode"):
        tokens.require_made_from("vocab", other)


def test_a_split_without_documents_has_no_stream(tokenizer: Tokenizer, tmp_path: Path) -> None:
    shards = make_shards(tmp_path, num_documents=9)  # a tenth of nine: nothing is held out
    tokens = encode(EncodeConfig(), shards, tokenizer, make_run(tmp_path, languages=LANGUAGES))
    assert list_streams(tokens.path / "held_out") == ()
    assert tokens.counts["held_out"] == {}


def test_a_recipe_language_without_training_text_is_named(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    shards = make_shards(tmp_path)
    write_parts(shards.path / "documents" / "deu_Latn", [], DOCUMENT_SCHEMA)
    with pytest.raises(StageError, match="deu_Latn: no training documents"):
        encode(EncodeConfig(), shards, tokenizer, make_run(tmp_path, languages=LANGUAGES))


def test_manifest_and_files_name_no_path_of_this_machine(tokens: TokenSet, tmp_path: Path) -> None:
    manifest = (tokens.path / "manifest.json").read_text(encoding="utf-8")
    assert str(tmp_path.parent) not in manifest
    assert not any(name.endswith(".done.json") for name in json.loads(manifest)["files"])
