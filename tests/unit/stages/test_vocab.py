"""`vocab` learns a balanced vocabulary, proves its two forms equal and measures its fairness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from polylm_core import tokenizer as tk
from polylm_core.artifacts import ShardSet, Tokenizer
from polylm_core.compute.local import LocalBackend
from polylm_core.stages.vocab.config import GateConfig, VocabConfig
from polylm_core.stages.vocab.stage import vocab
from tests.shards import documents, make_shards
from tests.support import make_run

LANGUAGES = ("eng_Latn", "deu_Latn", "tha_Thai")
OPEN = GateConfig(max_byte_fallback_share=1, max_parity=9)
CONFIG = VocabConfig(vocab_size=420, character_coverage=0.999, sample_bytes=20_000)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return make_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def tokenizer(shards: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return vocab(CONFIG, shards, make_run(tmp_path_factory.mktemp("vocab"), languages=LANGUAGES))


def test_the_artifact_holds_a_model_a_twin_and_a_row_a_language(tokenizer: Tokenizer) -> None:
    loaded = Tokenizer.load(tokenizer.path)
    assert loaded.manifest.inputs.keys() == {"curate"}
    assert tk.load(tokenizer.path / tk.MODEL_FILE).vocab_size == 420
    assert sorted(loaded.manifest.files) == [
        "fertility.parquet",
        "gate.parquet",
        "huggingface/tokenizer.json",
        "huggingface/tokenizer_config.json",
        "tokenizer.model",
    ]
    rows = pq.read_table(tokenizer.path / "fertility.parquet").to_pylist()
    assert [row["language"] for row in rows] == list(LANGUAGES)


def test_fertility_adds_up(tokenizer: Tokenizer) -> None:
    rows = pq.read_table(tokenizer.path / "fertility.parquet").to_pylist()
    for row in rows:
        texts = [d.text for d in documents(row["language"], 4, split="held_out")]
        assert row["bytes"] == sum(len(text.encode()) for text in texts)
        assert row["tokens_per_word"] == pytest.approx(row["tokens"] / row["words"])
        assert row["bytes_per_token"] == pytest.approx(row["bytes"] / row["tokens"])
        assert row["round_trip_ok"]
        assert row["lines_checked"] > 100
    english, german, thai = rows
    assert english["words"] == 4 * 3 * 8
    assert (english["word_unit"], thai["word_unit"]) == ("words", "characters")
    assert english["parity"] == 1.0
    assert 0.5 < german["parity"] < 3


def test_characters_left_out_show_as_byte_fallback(shards: ShardSet, tmp_path: Path) -> None:
    def share(coverage: float) -> float:
        config = CONFIG.model_copy(update={"character_coverage": coverage, "gate": OPEN})
        run = make_run(tmp_path, languages=LANGUAGES, name=f"coverage-{coverage}")
        rows = pq.read_table(vocab(config, shards, run).path / "fertility.parquet").to_pylist()
        return sum(float(row["byte_fallback_share"]) for row in rows)

    assert share(1.0) == 0.0  # newlines are bytes too, and not counted as fallback
    assert share(0.98) > 0.0


def test_the_same_bytes_come_from_one_worker_and_from_two(
    shards: ShardSet, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    backend = LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1)
    run = replace(make_run(tmp_path, languages=LANGUAGES), backend=backend)
    assert vocab(CONFIG, shards, run).fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize(
    "wrong",
    [
        {"vocab_size": 10},
        {"character_coverage": 1.5},
        {"character_coverage": 0.9},
        {"sample_bytes": 0},
        {"vocab_size": None},
        {"imported": {"uri": "m", "sha256": "0" * 64, "license": "MIT"}},
        {"gate": {"max_parity": 0}},
        {"size": 1},
    ],
)
def test_impossible_parameters_are_refused(wrong: dict[str, object]) -> None:
    good = {"vocab_size": 8000, "character_coverage": 0.998, "sample_bytes": 1000}
    with pytest.raises(ValidationError):
        VocabConfig.model_validate(good | wrong)
