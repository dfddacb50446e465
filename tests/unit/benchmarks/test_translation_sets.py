"""What the benchmarks of tuning make of answers: which text counts, and what is better."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import bayling2, taco
from benchmarks.translation_sets import (
    cleaned,
    held_out_items,
    judge_set,
    p_value,
    tatoeba_english,
    tatoeba_items,
)
from polylm_core.records import Instruction, Message
from polylm_core.stages.instruct.taco_form import Aligned, in_taco_form

REFERENCES = [f"la casa número {n} es muy grande" for n in range(30)]
NEAR = [text.replace("grande", "alta") for text in REFERENCES]
FAR = ["no lo sé"] * 30


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("Hola.", "Hola."),
        ("Here is the translation:\n\n“Hola.”\nIt means hello.", "Hola."),
        ('"Hola."', "Hola."),
        ("", ""),
        ("Translation:", ""),
    ],
)
def test_the_translation_is_taken_out_of_an_answer(said: str, text: str) -> None:
    assert cleaned(said) == text


def held_out(language: str, number: int) -> Instruction:
    turns = (Message("user", f"In X: text {number}"), Message("assistant", f"texto {number}"))
    name = f"cross-lingual/help/eng_Latn-{language}/page#{number}>{language}"
    return Instruction(name, language, language, "cross-lingual", "MPL-2.0", turns)


def test_held_out_items_go_by_turns_and_have_the_english_of_their_pair() -> None:
    rows = [held_out(code, n) for code in ("spa_Latn", "fra_Latn", "eng_Latn") for n in range(3)]
    sources = {
        f"help/eng_Latn-{code}/page#{n}": f"text {n}"
        for code in ("spa_Latn", "fra_Latn", "eng_Latn")
        for n in range(3)
    }
    items = held_out_items(rows, sources, ("spa_Latn", "fra_Latn"), 4)
    assert [item.language for item in items] == ["spa_Latn", "fra_Latn"] * 2
    assert [item.text for item in items] == ["text 0", "text 0", "text 1", "text 1"]


def test_tatoeba_sentences_that_were_trained_on_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "tatoeba.spa-eng.eng").write_text("One.\nTwo.\nThree.\n")
    (tmp_path / "tatoeba.spa-eng.spa").write_text("Uno.\nDos.\nTres.\n")
    items = tatoeba_items(tmp_path, "spa_Latn", 5, frozenset({"Dos."}))
    assert {(item.text, item.reference) for item in items} == {
        ("One.", "Uno."),
        ("Three.", "Tres."),
    }
    assert items[0].prompt == f"Translate from English to Spanish: {items[0].text}"
    with pytest.raises(SystemExit, match=r"tatoeba\.fra-eng\.eng is missing"):
        tatoeba_items(tmp_path, "fra_Latn", 5, frozenset())


def test_the_english_of_tatoeba_is_read_once_and_never_what_was_trained_on(tmp_path: Path) -> None:
    for code, english in (("spa", "One.\nTwo.\nThree.\n"), ("fra", "Three.\nFour.\nOne.\n")):
        (tmp_path / f"tatoeba.{code}-eng.eng").write_text(english)
        (tmp_path / f"tatoeba.{code}-eng.{code}").write_text("A.\nB.\nC.\n")
    texts = tatoeba_english(tmp_path, ("spa_Latn", "fra_Latn"), frozenset({"Two."}))
    assert sorted(texts) == ["Four.", "One.", "Three."]
    assert texts == tatoeba_english(tmp_path, ("fra_Latn", "spa_Latn"), frozenset({"Two."}))


def test_a_better_system_has_a_small_p_and_an_equal_one_has_not() -> None:
    assert p_value(FAR, NEAR, REFERENCES, 200) < 0.05
    assert p_value(NEAR, NEAR, REFERENCES, 200) > 0.5


def test_the_base_counts_with_the_best_of_its_ways() -> None:
    items = [
        bayling2.Item("spa_Latn", f"the house number {n}", text, "?")
        for n, text in enumerate(REFERENCES)
    ]
    worse = judge_set(REFERENCES, [FAR, NEAR, FAR], items, 200)
    assert worse["base"] == max(worse["base_ways"])
    assert worse["is_better"]
    same = judge_set(NEAR, [FAR, NEAR, FAR], items, 200)
    assert (same["ratio"], same["is_better"]) == (1.0, False)


def test_each_floor_of_cross_lingual_tuning_fails_by_itself() -> None:
    perplexity = {"held-out": {"ratio": 1.1}, "tatoeba": {"ratio": 1.1}}
    good = {
        "held_out": {"ratio": 1.3},
        "tatoeba_languages_better": 4,
        "english_perplexity": perplexity,
    }
    assert bayling2.failures(good) == []
    for change in (
        {"held_out": {"ratio": 1.29}},
        {"tatoeba_languages_better": 3},
        {"english_perplexity": perplexity | {"held-out": {"ratio": 1.11}}},
        {"english_perplexity": perplexity | {"tatoeba": {"ratio": 1.11}}},
    ):
        assert len(bayling2.failures(good | change)) == 1


def answer_of(english: str, spanish: str) -> str:
    aligned = Aligned("x", "spa_Latn", "MPL", "What is it?", english, "¿Qué es?", spanish)
    return in_taco_form(aligned).messages[-1].content


SPANISH = "Muestra en filas todo lo que hay en la tabla de la base de datos."


def test_a_third_part_counts_when_it_is_spanish_new_and_without_loops() -> None:
    english = "Shows all that is in the table of the data base in rows."
    answers = [
        answer_of(english, SPANISH),
        answer_of(SPANISH, SPANISH),
        answer_of(english, english.replace("Shows", "It shows")),
        answer_of(english, "la tabla de datos " * 7),
        SPANISH,
    ]
    questions = [taco.Question("s", "¿Qué es?", SPANISH)] * len(answers)
    scores = taco.score_parts(answers, questions)
    assert scores["three_parts"] == 0.8
    assert scores["third_not_second"] == 0.6
    assert scores["good_third"] == 0.2
    assert scores["spanish"] == 0.6


def test_four_words_in_a_row_are_counted() -> None:
    assert taco.repeats("uno dos tres") == 0
    assert taco.repeats("uno dos tres cuatro " * 6) == 6


def test_each_floor_of_taco_fails_by_itself() -> None:
    good = {"taco": {"three_parts": 0.9, "good_third": 0.8}}
    assert taco.failures(good) == []
    assert len(taco.failures({"taco": {"three_parts": 0.89, "good_third": 0.8}})) == 1
    assert len(taco.failures({"taco": {"three_parts": 0.9, "good_third": 0.79}})) == 1


@pytest.mark.parametrize(
    ("gap", "p", "verdict"),
    [(2.0, 0.01, "helps"), (-2.0, 0.01, "costs more"), (2.0, 0.2, "makes no difference")],
)
def test_the_comparison_is_said_plainly(gap: float, p: float, verdict: str) -> None:
    scores = {"spanish": 0.9, "without_loops": 1.0, "chrf": 20.0, "three_parts": 1.0}
    found = {
        "questions": 80,
        "taco": scores | {"chrf": 20.0 + gap},
        "plain": scores,
        "base": scores,
        "p_taco_plain": p,
    }
    assert verdict in taco.in_words(found)
