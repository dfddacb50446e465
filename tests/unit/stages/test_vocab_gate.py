"""The gate of `vocab`: every language that costs too much is named, with what to raise."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polylm_core import tokenizer as tk
from polylm_core.artifacts import ShardSet
from polylm_core.errors import StageError
from polylm_core.stages.vocab import fertility
from polylm_core.stages.vocab.config import GateConfig, VocabConfig
from polylm_core.stages.vocab.fertility import Fertility
from polylm_core.stages.vocab.gate import judge
from polylm_core.stages.vocab.stage import vocab
from tests.shards import make_shards
from tests.support import make_run

LANGUAGES = ("eng_Latn", "deu_Latn", "tha_Thai")
CONFIG = VocabConfig(
    vocab_size=420, character_coverage=0.999, sample_bytes=20_000, sampling_exponent=0.3
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return make_shards(tmp_path_factory.mktemp("shards"))


def with_gate(**thresholds: object) -> VocabConfig:
    return CONFIG.model_copy(update={"gate": GateConfig.model_validate(thresholds)})


def refusal(config: VocabConfig, shards: ShardSet, folder: Path) -> str:
    run = make_run(folder, languages=LANGUAGES)
    with pytest.raises(StageError) as failure:
        vocab(config, shards, run)
    assert not run.out.exists()
    return str(failure.value)


def test_every_language_that_fails_is_named_with_value_and_threshold(
    shards: ShardSet, tmp_path: Path
) -> None:
    said = refusal(with_gate(max_parity=1.1, max_tokens_per_word=1.4), shards, tmp_path)
    assert "does not pass for 2 of 3 languages" in said
    assert "  deu_Latn: tokens a word are 1." in said
    assert "at most 1.4 is asked for (max_tokens_per_word)" in said
    assert "  tha_Thai: tokens over English tokens for the same sentences are" in said
    assert "at most 1.1 is asked for (max_parity)" in said
    assert "eng_Latn" not in said
    assert "vocab.gate.by_language; the model is kept" in said


def test_it_says_what_to_raise(shards: ShardSet, tmp_path: Path) -> None:
    low = with_gate(min_bytes_per_token=50)
    said = refusal(low.model_copy(update={"sample_bytes": 3_000}), shards, tmp_path)
    english = next(line for line in said.splitlines() if line.startswith("  eng_Latn"))
    thai = next(line for line in said.splitlines() if line.startswith("  tha_Thai"))
    assert "raise vocab.vocab_size (420)" in english
    assert "lower vocab.sampling_exponent (0.3)" in english
    assert "raise vocab.sampling_exponent (0.3)" in thai
    assert "raise vocab.sample_bytes (3,000, of which it has 1," in thai
    all_of_it = refusal(low.model_copy(update={"sample_bytes": 90_000}), shards, tmp_path / "b")
    assert "or add text of the language (all its 14,370 bytes are in the sample)" in all_of_it
    assert "sample_bytes" not in all_of_it


def test_characters_without_an_entry_ask_for_coverage(shards: ShardSet, tmp_path: Path) -> None:
    config = with_gate(max_byte_fallback_share=0.001, max_parity=9)
    said = refusal(config.model_copy(update={"character_coverage": 0.98}), shards, tmp_path)
    assert "the share of tokens that are single bytes is 0.4" in said
    assert "raise vocab.character_coverage (0.98), or raise vocab.vocab_size" in said


def test_looser_thresholds_of_a_language_let_it_pass(shards: ShardSet, tmp_path: Path) -> None:
    own = {"deu_Latn": {"max_parity": 3}, "tha_Thai": {"max_parity": 3}}
    config = with_gate(max_parity=1.1, by_language=own)
    made = vocab(config, shards, make_run(tmp_path, languages=LANGUAGES))
    rows = pq.read_table(made.path / "gate.parquet").to_pylist()
    parity = {row["language"]: row for row in rows if row["measure"] == "max_parity"}
    assert parity["tha_Thai"]["threshold"] == 3
    assert parity["eng_Latn"]["threshold"] == 1.1
    assert all(row["passed"] for row in rows)
    assert len(rows) == 4 * len(LANGUAGES)


def test_thresholds_of_a_language_outside_the_recipe_are_refused(
    shards: ShardSet, tmp_path: Path
) -> None:
    config = with_gate(by_language={"swh_Latn": {"max_parity": 3}})
    assert "vocab.gate.by_language: swh_Latn" in refusal(config, shards, tmp_path)


def test_parity_is_not_judged_without_pairs() -> None:
    row = Fertility("swh_Latn", 900, 300, 150, "words", 2.0, 3.0, 0.0, None, 9, True)
    verdicts = {verdict.measure: verdict for verdict in judge(row, GateConfig())}
    assert verdicts["max_parity"].passed is None
    assert verdicts["max_tokens_per_word"].passed is True
    thai = replace(row, language="tha_Thai", word_unit="characters")
    assert next(v.passed for v in judge(thai, GateConfig())) is False  # 2 tokens a character


def test_a_language_without_held_out_text_is_named(shards: ShardSet, tmp_path: Path) -> None:
    shutil.copytree(shards.path, tmp_path / "shards")
    for code in ("deu_Latn", "tha_Thai"):
        shutil.rmtree(tmp_path / "shards" / "held_out" / "documents" / code)
    said = refusal(CONFIG, replace(shards, path=tmp_path / "shards"), tmp_path)
    assert "deu_Latn: no held-out text to measure; raise curate.held_out.share" in said
    assert "tha_Thai: no held-out text" in said


def test_a_twin_that_differs_is_named_for_every_language(
    shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tk, "_merges", lambda pieces: [])
    said = refusal(CONFIG, shards, tmp_path)
    for code in LANGUAGES:
        assert f"{code}: tokenizer.json gives other ids than SentencePiece for" in said


def test_text_that_does_not_come_back_is_named(
    shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fertility, "readable", str.upper)
    said = refusal(CONFIG, shards, tmp_path)
    assert "deu_Latn: " in said
    assert "eng_Latn: " in said
    assert "comes back from its ids as" in said


def test_what_is_measured_is_bounded(shards: ShardSet, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"measured_bytes_per_language": 100})
    made = vocab(config, shards, make_run(tmp_path, languages=LANGUAGES))
    rows = pq.read_table(made.path / "fertility.parquet").to_pylist()
    assert all(100 <= row["bytes"] < 600 for row in rows)
