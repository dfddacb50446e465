"""The parts of `evaluate`, each against a figure worked out another way."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError

from polylm_core.errors import StageError
from polylm_core.identify import identify, is_in_language
from polylm_core.records import PAIR_SCHEMA, Instruction, Message, Pair, write_table
from polylm_core.stages.evaluate.answers import by_turns, score_answers
from polylm_core.stages.evaluate.choice import build_questions, score_choices
from polylm_core.stages.evaluate.compression import (
    document_bits,
    excerpt,
    score_compression,
    unigram_bits,
    windows,
)
from polylm_core.stages.evaluate.config import TranslationConfig
from polylm_core.stages.evaluate.intervals import resamples, wilson
from polylm_core.stages.evaluate.model import LoadedModel, generate, load_model
from polylm_core.stages.evaluate.pairs import sentence_pairs
from polylm_core.stages.evaluate.tables import Answer, HarnessScore, ScoredDocument, Translation
from polylm_core.stages.evaluate.translation import ask, score_translations
from tests.unit.stages.evaluate_inputs import TEMPLATE, write_model


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, chat_template=TEMPLATE)
    return load_model(folder, "test", None)


def _pair(number: int, english: str, german: str) -> Pair:
    return Pair(f"h/eng_Latn-deu_Latn/{number}#0", "eng_Latn", english, "deu_Latn", german, "h", "")


def _answer(text: str, *, tokens: int = 5, in_language: bool | None = True) -> Answer:
    return Answer("i", "deu_Latn", "eng_Latn", "x", "p", "r", text, tokens, True, "de", in_language)


def test_a_share_of_nothing_still_has_an_interval() -> None:
    low, high = wilson(0, 12)
    assert low == 0
    assert high == pytest.approx(0.2425, abs=1e-3)  # Wilson 1927, by hand
    assert wilson(12, 12) == pytest.approx((1 - high, 1))


def test_resamples_depend_on_the_seed_alone() -> None:
    assert np.array_equal(resamples(9, 4, 1, "a"), resamples(9, 4, 1, "a"))
    assert not np.array_equal(resamples(9, 4, 1, "a"), resamples(9, 4, 2, "a"))


def test_an_excerpt_ends_with_a_whole_line() -> None:
    assert excerpt("first\nsecond\nthird", 14) == "first\nsecond"


def test_an_excerpt_never_splits_a_character() -> None:
    assert excerpt("文件夹", 7) == "文件"


@pytest.mark.parametrize("length", [2, 9, 10, 11, 37, 60])
def test_every_token_is_scored_once_and_sees_half_a_context(length: int) -> None:
    scored: list[int] = []
    for start, end, first in windows(length, 10):
        assert 0 < end - start <= 10
        assert start == 0 or first - start > 5
        scored += range(first, end + 1)
    assert scored == list(range(1, length))


def test_bits_are_those_of_the_softmax(loaded: LoadedModel) -> None:
    ids = loaded.encode("Choose a folder in which to save the file.")
    with torch.no_grad():
        logits = loaded.model(torch.tensor([[loaded.eos_id, *ids[:-1]]])).logits[0]
    probabilities = logits.double().softmax(-1)[range(len(ids)), ids]
    expected = float(-probabilities.log2().sum())
    assert document_bits(loaded, [ids]) == pytest.approx([expected], rel=1e-5)


def test_bits_do_not_depend_on_the_company(loaded: LoadedModel) -> None:
    documents = [loaded.encode("Press the key again. " * count) for count in (1, 40, 7)]
    together = document_bits(loaded, documents)
    alone = [document_bits(loaded, [ids])[0] for ids in documents]
    assert together == pytest.approx(alone, rel=1e-5)


def test_the_unigram_baseline_adds_one(tmp_path: Path) -> None:
    columns = {"language": ["deu_Latn", "eng_Latn"], "id": [2, 0], "count": [5, 100]}
    pq.write_table(pa.table(columns), tmp_path / "drawn_unigrams.parquet")
    bits = unigram_bits(tmp_path, "deu_Latn", 4)
    assert 2.0**-bits == pytest.approx([1 / 9, 1 / 9, 6 / 9, 1 / 9])
    with pytest.raises(StageError, match="drew no kor_Hang"):
        unigram_bits(tmp_path, "kor_Hang", 4)


def test_gain_is_the_share_of_unigram_bits_saved() -> None:
    rows = [
        ScoredDocument("base", "deu_Latn", "a", bytes=10, tokens=4, bits=20, unigram_bits=50),
        ScoredDocument("base", "deu_Latn", "b", bytes=30, tokens=9, bits=60, unigram_bits=50),
    ]
    scores = {(s.metric, s.language): s for s in score_compression(rows, samples=50, seed=1)}
    per_byte = scores["bits_per_byte", "deu_Latn"]
    assert (per_byte.value, per_byte.baseline, per_byte.items) == (2.0, 2.5, 2)
    gain = scores["gain_over_unigram_percent", ""]
    assert gain.value == pytest.approx(20)
    assert gain.low is not None
    assert gain.low < gain.value


def test_padding_on_the_left_does_not_change_an_answer(loaded: LoadedModel) -> None:
    prompts = [loaded.encode(text) for text in ("Press", "Click the button to open the dialog.")]
    together = generate(loaded, prompts, max_new_tokens=8, repetition_penalty=1.0)
    alone = [
        generate(loaded, [prompt], max_new_tokens=8, repetition_penalty=1.0)[0]
        for prompt in prompts
    ]
    assert together == alone


def test_the_penalty_of_repetition_does_not_see_padding(loaded: LoadedModel) -> None:
    model = copy.deepcopy(loaded.model)
    state = torch.ones(model.config.hidden_size)
    with torch.no_grad():  # the same logits always: the end first, then one other token
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.copy_(state)
        head = model.get_output_embeddings().weight
        head.zero_()
        head[loaded.eos_id] = state
        head[loaded.eos_id + 40] = 0.9 * state
    ends = replace(loaded, model=model)
    prompts = [loaded.encode(text) for text in ("Press", "Click the button to open the dialog.")]
    answers = generate(ends, prompts, max_new_tokens=4, repetition_penalty=1.2)
    assert [answer.stopped for answer in answers] == [True, True]
    assert [answer.tokens for answer in answers] == [0, 0]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wählen Sie einen Ordner, in dem die Datei gespeichert wird.", "deu_Latn"),
        ("选择要在其中保存\n文件的文件夹。", "zho_Hans"),
        ("اختر المجلد الذي تريد حفظ الملف فيه.", "arb_Arab"),
    ],
)
def test_the_language_of_an_answer_is_identified(text: str, language: str) -> None:
    assert is_in_language(identify(text), language)
    assert not is_in_language(identify(text), "eng_Latn")


def test_an_answer_without_letters_is_in_no_language() -> None:
    assert identify(" 12 %\n") == ""
    assert not is_in_language("", "eng_Latn")


def test_prompts_take_turns_by_language() -> None:
    rows = [
        Instruction(f"{language}/{n}", language, language, "x", "", (Message("user", "?"),) * 2)
        for language, count in (("deu_Latn", 5), ("fra_Latn", 2))
        for n in range(count)
    ]
    assert [row.language[0] for row in by_turns(rows, seed=1)] == list("dfdfddd")


def test_a_repeated_answer_counts_from_its_second_time() -> None:
    rows = [_answer("ja"), _answer("nein"), _answer("ja"), _answer("ja", in_language=False)]
    scores = {s.metric: s for s in score_answers(rows, samples=20, seed=1) if not s.language}
    assert scores["identical_share"].value == 0.5
    assert scores["in_language_share"].value == 0.75
    assert scores["median_answer_tokens"].value == 5


def test_answers_in_a_language_that_cannot_be_identified_are_not_judged() -> None:
    rows = [_answer("ja"), _answer("nein", in_language=None)]
    scores = {s.metric: s for s in score_answers(rows, samples=20, seed=1) if not s.language}
    assert (scores["in_language_share"].value, scores["in_language_share"].items) == (1.0, 1)
    assert scores["stopped_share"].items == 2
    none = score_answers(rows[1:], samples=20, seed=1)
    assert "in_language_share" not in {score.metric for score in none}


def test_labels_and_repeated_lines_are_no_test_of_translation(tmp_path: Path) -> None:
    pairs = [
        _pair(1, "Save as", "Speichern"),
        _pair(2, "Press the key again.", "Noch einmal drücken."),
        _pair(3, "Press the key again.", "Erneut drücken."),
    ]
    write_table(tmp_path / "deu_Latn.parquet", pairs, PAIR_SCHEMA)
    kept = sentence_pairs(tmp_path / "deu_Latn.parquet", min_english_words=4, seed=1)
    assert len(kept) == 1
    assert kept[0].text_a == "Press the key again."


def test_a_text_with_braces_is_asked_as_it_is() -> None:
    prompt = "{source_language} > {target_language}: {text}"
    asked = ask(prompt, "{target_language} {0}", "eng_Latn", "deu_Latn")
    assert asked == "English > German: {target_language} {0}"


def test_a_prompt_without_the_text_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"must contain \{text\}"):
        TranslationConfig(
            prompt="{source_language} to {target_language}", items_per_language=1, max_new_tokens=1
        )


def test_a_perfect_translation_scores_100_and_the_copied_source_is_the_baseline() -> None:
    lines = [("Save the file.", "保存文件。"), ("Close the menu.", "关闭菜单。")]
    rows = [
        Translation("zho_Hans", direction, str(n), source, reference, reference, True)
        for n, (english, chinese) in enumerate(lines)
        for direction, source, reference in (
            ("from_english", english, chinese),
            ("into_english", chinese, english),
        )
    ]
    scores = {(s.metric, s.language): s for s in score_translations(rows, samples=20, seed=1)}
    for metric in ("chrf_from_english", "bleu_from_english", "chrf_into_english"):
        score = scores[metric, "zho_Hans"]
        assert score.value == pytest.approx(100)
        assert [score.low, score.high] == pytest.approx([100, 100])
        assert score.baseline is not None
        assert score.baseline < 10


def test_distractors_are_the_nearest_in_length(loaded: LoadedModel) -> None:
    texts = ["a" * length for length in (10, 11, 12, 13, 40, 41)]
    pairs = [_pair(n, f"one two three {n}", text) for n, text in enumerate(texts)]
    questions, too_long = build_questions(loaded, pairs, num=6, seed=1)
    assert too_long == 0
    assert sorted(map(len, questions[0]["choices"])) == [10, 11, 12, 13]
    assert questions[0]["choices"][questions[0]["answer"]] == texts[0]
    assert questions[0]["beginning"] == "</s>"


def test_pooled_accuracy_weighs_languages_by_their_items() -> None:
    rows = [
        HarnessScore(language, metric, value, 0.1, items)
        for metric in ("acc", "acc_norm")
        for language, value, items in (("deu_Latn", 1.0, 1), ("fra_Latn", 0.0, 3))
    ]
    pooled = [s for s in score_choices(rows) if (s.metric, s.language) == ("acc", "")]
    assert [(s.value, s.items, s.baseline) for s in pooled] == [(0.25, 4, 0.25)]
    assert math.isclose(pooled[0].low or 0, wilson(1, 4)[0])
