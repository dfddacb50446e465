"""Whether a task is in its language, as a whole, by line and by word."""

from __future__ import annotations

import pytest

from polylm_core.stages.instruct.config import LanguageCheckConfig
from polylm_core.stages.instruct.language_check import is_in, line_pass_rate, word_pass_rate

CHECK = LanguageCheckConfig()
GERMAN = "Im Winter ist es kalt und die Tage sind sehr kurz."
ENGLISH = "In winter it is cold and the days are very short."
THAI = "ในฤดูหนาวอากาศหนาวและกลางวันสั้นมาก"


def test_lines_long_enough_to_tell_are_identified_one_by_one() -> None:
    text = f"{GERMAN}\n{ENGLISH}\nOK\n{GERMAN}"
    assert line_pass_rate(text, "deu_Latn", CHECK) == pytest.approx(2 / 3)
    assert line_pass_rate("OK\nJa", "deu_Latn", CHECK) == 1.0


def test_a_word_passes_in_the_script_of_its_language() -> None:
    assert word_pass_rate("สวัสดี hello 3", "tha_Thai") == pytest.approx(1 / 2)
    assert word_pass_rate("hello мир 12", "eng_Latn") == pytest.approx(1 / 2)
    assert word_pass_rate("12, 3.", "eng_Latn") == 1.0


def test_an_answer_that_goes_on_in_english_fails_by_its_lines() -> None:
    answer = f"{GERMAN} {GERMAN} {GERMAN}\n{ENGLISH}\n{ENGLISH}"
    assert is_in("deu_Latn", "Beschreibe den Winter.", answer, CHECK) is False
    lenient = CHECK.model_copy(update={"min_line_pass_rate": 0.3})
    assert is_in("deu_Latn", "Beschreibe den Winter.", answer, lenient) is True


def test_an_answer_with_english_words_in_thai_fails_by_its_words() -> None:
    answer = f"{THAI} {THAI} and it is cold"
    assert is_in("tha_Thai", "อธิบายฤดูหนาว", answer, CHECK) is True
    strict = CHECK.model_copy(update={"min_word_pass_rate": 0.95})
    assert is_in("tha_Thai", "อธิบายฤดูหนาว", answer, strict) is False


def test_an_answer_in_another_language_fails_as_a_whole() -> None:
    assert is_in("deu_Latn", "Beschreibe den Winter, bitte ausführlich.", ENGLISH, CHECK) is False
    assert is_in("deu_Latn", "Beschreibe den Winter.", GERMAN, CHECK) is True


def test_a_language_that_is_not_identified_is_judged_by_its_script() -> None:
    assert is_in("ace_Arab", "x", "بهسا اچيه بهسا اچيه", CHECK) is True
    assert is_in("ace_Arab", "x", ENGLISH, CHECK) is False
