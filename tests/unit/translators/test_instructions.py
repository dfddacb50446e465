"""English instruction sets beside their translations, for TaCo."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.errors import TranslatorError
from polylm_core.records import Instruction, Message
from polylm_core.translators.instructions import NOT_ENGLISH, translate_instructions
from polylm_core.translators.translator import EMPTY
from tests.unit.translators.doubles import Double
from tests.unit.translators.test_bureau import make_bureau


def chat(name: str, *turns: str, language: str = "eng_Latn", license: str = "MIT") -> Instruction:
    messages = tuple(
        Message("assistant" if place % 2 else "user", turn) for place, turn in enumerate(turns)
    )
    return Instruction(name, language, language, "alpaca", license, messages)


ROWS = [
    chat("alpaca/1", "Name {n} colours.", "Red.\n```\ncode\n```"),
    chat("alpaca/2", "Say nothing.", "Silence"),
    chat("alpaca/3", "Hi", "Hello", "Bye", "See you", license="CC0-1.0"),
    chat("alpaca/4", "Hola", "Buenas", language="spa_Latn"),
]


def speak(text: str) -> str:
    return "" if text == "Silence" else text.upper()


def test_chats_are_translated_turn_by_turn_and_stay_aligned(tmp_path: Path) -> None:
    bureau = make_bureau(tmp_path, Double(speak))
    made = translate_instructions(ROWS, ["spa_Latn", "deu_Latn"], bureau)
    assert [row.english for row in made.rows] == [ROWS[0], ROWS[2]] * 2
    spanish = [row.translated for row in made.rows[:2]]
    assert spanish == [
        Instruction(
            "alpaca/1/spa_Latn",
            "spa_Latn",
            "spa_Latn",
            "alpaca",
            "MIT AND CC0-1.0",
            (
                Message("user", "NAME {n} COLOURS."),
                Message("assistant", "RED.\n```\ncode\n```"),
            ),
        ),
        Instruction(
            "alpaca/3/spa_Latn",
            "spa_Latn",
            "spa_Latn",
            "alpaca",
            "CC0-1.0",
            (
                Message("user", "HI"),
                Message("assistant", "HELLO"),
                Message("user", "BYE"),
                Message("assistant", "SEE YOU"),
            ),
        ),
    ]
    assert made.refused == {
        (language, reason): 1
        for language in ("spa_Latn", "deu_Latn")
        for reason in (EMPTY, NOT_ENGLISH)
    }
    assert made.known("deu_Latn")["Hello"] == "HELLO"


def test_an_unknown_language_is_told_before_anything_is_translated(tmp_path: Path) -> None:
    double = Double(unknown=("kat_Geor",))
    with pytest.raises(TranslatorError, match="know kat_Geor"):
        translate_instructions(ROWS, ["spa_Latn", "kat_Geor"], make_bureau(tmp_path, double))
    assert double.asked == []
