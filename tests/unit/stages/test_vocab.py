"""`vocab` learns a balanced vocabulary, proves its two forms equal and measures its fairness."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from polylm_core import tokenizer as tk
from polylm_core.artifacts import ShardSet, Tokenizer
from polylm_core.compute.local import LocalBackend
from polylm_core.errors import CorruptArtifactError, StageError
from polylm_core.records import DOCUMENT_SCHEMA, write_table
from polylm_core.stages.vocab import fertility
from polylm_core.stages.vocab.config import VocabConfig
from polylm_core.stages.vocab.sample import SampleUnit, sample_lines, share_budget
from polylm_core.stages.vocab.stage import vocab
from tests.shards import documents, make_shards
from tests.support import make_run

LANGUAGES = ("eng_Latn", "deu_Latn", "tha_Thai")
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
        config = CONFIG.model_copy(update={"character_coverage": coverage})
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


def test_another_seed_draws_another_sample(shards: ShardSet) -> None:
    file = shards.path / "documents" / "eng_Latn"
    first, second = (sample_lines(SampleUnit(file, seed, 1000)) for seed in (1, 2))
    assert first != second
    assert first == sample_lines(SampleUnit(file, 1, 1000))


def test_the_sample_does_not_depend_on_the_order_of_the_shard(tmp_path: Path) -> None:
    rows = documents("eng_Latn", 30, split="train")
    write_table(tmp_path / "a.parquet", rows, DOCUMENT_SCHEMA)
    write_table(tmp_path / "b.parquet", rows[::-1], DOCUMENT_SCHEMA)
    a, b = (sample_lines(SampleUnit(tmp_path / f"{name}.parquet", 7, 1500)) for name in "ab")
    assert a == b


def test_the_sample_stays_within_its_bound(shards: ShardSet) -> None:
    file = shards.path / "documents" / "tha_Thai"
    size = sum(len(line.encode()) for line in sample_lines(SampleUnit(file, 7, 2000)))
    assert 1500 < size <= 2000


def test_small_languages_get_more_than_their_size() -> None:
    budget = share_budget({"a": 1_000_000, "b": 1_000}, sample_bytes=10_000, exponent=0.3)
    assert sum(budget.values()) <= 10_000
    assert budget["b"] / budget["a"] == pytest.approx(0.001**0.3, rel=0.01)
    equal = share_budget({"a": 1_000_000, "b": 1_000}, sample_bytes=10_000, exponent=0)
    assert equal["a"] == equal["b"] == 5000


def test_the_stage_fails_when_the_twin_differs(
    shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tk, "_merges", lambda pieces: [])
    run = make_run(tmp_path, languages=LANGUAGES)
    with pytest.raises(StageError, match=r"eng_Latn: tokenizer\.json gives other ids"):
        vocab(CONFIG, shards, run)
    assert not run.out.exists()


def test_the_stage_fails_when_text_does_not_come_back(
    shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fertility, "readable", str.upper)
    with pytest.raises(StageError, match=r"eng_Latn: .* comes back from its ids as"):
        vocab(CONFIG, shards, make_run(tmp_path, languages=LANGUAGES))


def test_a_vocabulary_too_large_for_the_sample_says_what_to_change(
    shards: ShardSet, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"vocab_size": 100_000})
    with pytest.raises(StageError, match=r"vocab\.vocab_size"):
        vocab(config, shards, make_run(tmp_path, languages=LANGUAGES))


def test_a_language_without_a_shard_is_named(shards: ShardSet, tmp_path: Path) -> None:
    shutil.copytree(shards.path, tmp_path / "shards")
    shutil.rmtree(tmp_path / "shards" / "documents" / "deu_Latn")
    broken = replace(shards, path=tmp_path / "shards")
    with pytest.raises(CorruptArtifactError, match="deu_Latn"):
        vocab(CONFIG, broken, make_run(tmp_path, languages=LANGUAGES))


@pytest.mark.parametrize(
    "wrong",
    [
        {"vocab_size": 10},
        {"character_coverage": 1.5},
        {"character_coverage": 0.9},
        {"sample_bytes": 0},
        {"size": 1},
    ],
)
def test_impossible_parameters_are_refused(wrong: dict[str, float]) -> None:
    good = {"vocab_size": 8000, "character_coverage": 0.998, "sample_bytes": 1000}
    with pytest.raises(ValidationError):
        VocabConfig.model_validate(good | wrong)
