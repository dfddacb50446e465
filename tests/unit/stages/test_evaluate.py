"""The whole `evaluate` stage on a tiny random model and a few real sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polylm_core.artifacts import Scores
from polylm_core.errors import CorruptArtifactError, MismatchedArtifactError, StageError
from polylm_core.stages.evaluate.config import EvaluateConfig
from polylm_core.stages.evaluate.stage import evaluate
from tests.support import make_run
from tests.unit.stages.evaluate_inputs import LANGUAGES, TEMPLATE, Inputs, make_inputs

CONFIG = EvaluateConfig.model_validate(
    {
        "bootstrap_samples": 50,
        "min_english_words": 4,
        "compression": {"max_bytes_per_language": 400, "max_bytes_per_document": 120},
        "translation": {
            "prompt": "Translate from {source_language} to {target_language}:\n{text}",
            "items_per_language": 2,
            "max_new_tokens": 48,
        },
        "answers": {"prompts": 4, "max_new_tokens": 8},
        "choice": {"items_per_language": 3},
    }
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


def run_stage(inputs: Inputs, folder: Path, config: EvaluateConfig = CONFIG) -> Scores:
    run = make_run(folder, languages=LANGUAGES)
    return evaluate(
        config, inputs.base, inputs.chat, inputs.shards, inputs.tokens, inputs.instructions, run
    )


@pytest.fixture(scope="module")
def scores(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Scores:
    return run_stage(inputs, tmp_path_factory.mktemp("scores"))


def _rows(scores: Scores, suite: str, metric: str) -> Mapping[tuple[str, str], dict[str, float]]:
    table = pq.read_table(scores.path / "scores.parquet").to_pylist()
    return {
        (row["model"], row["language"]): row
        for row in table
        if (row["suite"], row["metric"]) == (suite, metric)
    }


def test_every_language_is_scored_on_every_suite(scores: Scores) -> None:
    both = {(model, code) for model in ("base", "chat") for code in ("", *LANGUAGES)}
    assert set(_rows(scores, "bits_per_byte", "bits_per_byte")) == both
    foreign = ("", "deu_Latn", "zho_Hans")
    for metric in ("chrf_from_english", "chrf_into_english"):
        assert set(_rows(scores, "translation", metric)) == {("chat", code) for code in foreign}
    assert set(_rows(scores, "answers", "in_language_share")) == {("chat", c) for c in foreign}
    choices = _rows(scores, "translation_choice", "acc_norm")
    assert set(choices) == {("base", code) for code in foreign}
    assert choices["base", ""]["items"] == 6
    assert choices["base", ""]["baseline"] == 0.25


def test_intervals_hold_their_value(scores: Scores) -> None:
    for row in pq.read_table(scores.path / "scores.parquet").to_pylist():
        if row["low"] is not None:
            assert row["low"] <= row["value"] + 1e-9, row
            assert row["value"] <= row["high"] + 1e-9, row


def test_a_random_model_needs_about_the_bits_of_a_uniform_guess(scores: Scores) -> None:
    documents = pq.read_table(scores.path / "predictions/documents.parquet").to_pylist()
    vocabulary = 9.4  # log2 of about 700 entries
    for row in documents:
        assert row["bits"] / row["tokens"] == pytest.approx(vocabulary, abs=0.6)
    assert {row["model"] for row in documents} == {"base", "chat"}


def test_the_harness_and_its_samples_agree(scores: Scores) -> None:
    choices = pq.read_table(scores.path / "predictions/choices.parquet").to_pylist()
    german = [row["acc"] for row in choices if row["language"] == "deu_Latn"]
    reported = _rows(scores, "translation_choice", "acc")["base", "deu_Latn"]
    assert reported["value"] == pytest.approx(sum(german) / len(german))
    assert all(len(set(row["choices"])) == 4 for row in choices)
    assert all(
        row["acc"] == (row["log_likelihoods"].index(max(row["log_likelihoods"])) == row["answer"])
        for row in choices
    )


def test_what_was_given_away_is_told_with_its_text(scores: Scores, inputs: Inputs) -> None:
    found = pq.read_table(scores.path / "predictions/contaminated.parquet").to_pylist()
    trained = pq.read_table(inputs.instructions.path / "train.parquet").to_pylist()
    given_away = trained[0]["messages"][1]["content"]
    assert {(row["model"], row["suite"], row["text"]) for row in found} <= {
        ("chat", suite, given_away) for suite in ("answers", "translation")
    }
    assert found
    for row in _rows(scores, "contamination", "translation_share").values():
        assert row["value"] <= row["high"]


def test_the_same_inputs_give_the_same_bytes(
    scores: Scores, inputs: Inputs, tmp_path: Path
) -> None:
    again = run_stage(inputs, tmp_path)
    assert again.fingerprint == scores.fingerprint


def test_nothing_is_written_outside_the_run(inputs: Inputs, scores: Scores) -> None:
    """The harness caches its data sets; that cache belongs to the run's work folder."""
    assert (scores.path.parent / "work" / "harness" / "datasets").is_dir()
    assert sorted(path.name for path in scores.path.rglob("*.parquet")) == [
        "answers.parquet", "choices.parquet", "contaminated.parquet", "documents.parquet",
        "scores.parquet", "translations.parquet",
    ]  # fmt: skip


def test_prompts_that_do_not_fit_are_passed_over_and_counted(
    inputs: Inputs, tmp_path: Path
) -> None:
    translation = CONFIG.translation.model_copy(
        update={"items_per_language": 6, "max_new_tokens": 11}
    )
    config = CONFIG.model_copy(update={"translation": translation})
    counts = run_stage(inputs, tmp_path, config).counts
    assert counts["too_long"]["translation"] * 2 + counts["items"]["translations"] == 2 * 2 * 6
    assert counts["too_long"]["translation"] > 0


def test_a_model_of_another_run_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    other = make_inputs(tmp_path / "other", chat_template=TEMPLATE + " ")
    mixed = replace(inputs, chat=other.chat, instructions=other.instructions, base=replace(
        inputs.base, manifest=inputs.base.manifest.model_copy(update={"params": {"x": 1}})
    ))  # fmt: skip
    with pytest.raises(MismatchedArtifactError, match=r"08_chat was made from another 06_base"):
        run_stage(mixed, tmp_path)


def test_a_chat_model_without_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError, match="chat template"):
        run_stage(make_inputs(tmp_path, chat_template=None), tmp_path)


def test_a_language_without_sentence_pairs_is_named(inputs: Inputs, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"min_english_words": 40})
    with pytest.raises(StageError, match="min_english_words"):
        run_stage(inputs, tmp_path, config)


def test_a_recipe_of_english_alone_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    run = make_run(tmp_path, languages=("eng_Latn",))
    with pytest.raises(StageError, match="nothing to translate"):
        evaluate(
            CONFIG,
            inputs.base,
            inputs.chat,
            inputs.shards,
            inputs.tokens,
            inputs.instructions,
            run,
        )
