"""Texts through translators that misbehave: whole, piece by piece, or refused."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from polylm_core.translators.config import ProtectionConfig
from polylm_core.translators.guarded import translate_guarded
from polylm_core.translators.protection import spans_of
from polylm_core.translators.translator import EMPTY, PART_LOST, Scope, Translation
from tests.unit.translators import doubles
from tests.unit.translators.doubles import MISBEHAVING, Double, shout
from tests.unit.translators.test_protection import PROTECTED, WORDS

TEXT = "Use {name} or `pip` to go to https://x.org/a and then stop"
SHOUTED = "USE {name} OR `pip` TO GO TO https://x.org/a AND THEN STOP"
REFUSING = ProtectionConfig(max_pieces=0)


def through(
    double: Double, *texts: str, protection: ProtectionConfig | None = None
) -> list[Translation]:
    return translate_guarded(
        double, texts, "eng_Latn", "spa_Latn", protection or ProtectionConfig()
    )


def test_protected_parts_are_never_shown_to_the_translator() -> None:
    double = Double()
    assert through(double, TEXT) == [Translation(SHOUTED)]
    assert double.asked == ["Use [[0]] or [[1]] to go to [[2]] and then stop"]


def test_markers_may_come_back_in_another_order() -> None:
    (made,) = through(Double(doubles.reorder), TEXT)
    assert made.text.startswith("https://x.org/a`pip`{name} USE")


@pytest.mark.parametrize("speak", MISBEHAVING)
def test_a_text_whose_markers_are_harmed_is_translated_piece_by_piece(
    speak: Callable[[str], str],
) -> None:
    def harms_markers(text: str) -> str:
        return speak(text) if doubles.MARKER.search(text) else shout(text)

    assert through(Double(harms_markers), TEXT) == [Translation(SHOUTED)]


@pytest.mark.parametrize("speak", MISBEHAVING)
def test_it_is_refused_where_the_parameters_want_no_pieces(speak: Callable[[str], str]) -> None:
    assert through(Double(speak), TEXT, protection=REFUSING) == [Translation("", PART_LOST)]


def test_it_is_refused_where_it_has_more_pieces_than_may_be() -> None:
    double = Double(doubles.drop)
    two = ProtectionConfig(max_pieces=2)
    assert through(double, TEXT, "Take {a} away", protection=two) == [
        Translation("", PART_LOST),
        Translation("TAKE {a} AWAY"),
    ]


def test_another_form_of_marker_is_tried_before_the_pieces() -> None:
    double = Double(doubles.only_braces)
    assert through(double, TEXT, "Take {a} away", protection=REFUSING)[1].text == "TAKE {a} AWAY"
    assert double.asked[2:] == [
        "Use {0} or {1} to go to {2} and then stop",
        "Take {0} away",
    ]


@pytest.mark.parametrize("scope", ["line", "text"])
def test_lines_margins_and_code_stay_where_they_are(scope: str) -> None:
    double = Double(scope="line" if scope == "line" else "text")
    text = "\n  <p>First line.</p>  \n\n- `x` second \r\n```\ncode é\n```\n1. 2. {a} %s\n\tthird"
    (made,) = through(double, text)
    assert made.text == (
        "\n  <p>FIRST LINE.</p>  \n\n- `x` SECOND \r\n```\ncode é\n```\n1. 2. {a} %s\n\tTHIRD"
    )
    assert (double.asked[:2] == ["First line.", "second"]) == (scope == "line")
    assert len(double.asked) == (3 if scope == "line" else 1)


@pytest.mark.parametrize(
    ("scope", "text"),
    [("line", text) for text in ("", " \n", "42 + 1 = 43", "{a} %s", "```\ncode\n```", "?!")]
    + [("exact", ""), ("exact", " \n")],
)
def test_what_holds_no_word_is_not_asked_for(scope: Scope, text: str) -> None:
    double = Double(scope=scope)
    assert through(double, text) == [Translation(text)]
    assert double.asked == []


def test_what_occurs_often_is_asked_once() -> None:
    double = Double()
    through(double, "Yes\nNo\nYes", "Yes", "Take {a}, no", "Take {b}, no")
    assert double.asked == ["Yes", "No", "Take [[0]], no"]


def test_an_empty_translation_is_refused() -> None:
    assert through(Double(lambda text: " "), "Yes\n1") == [Translation("", EMPTY)]


def test_a_refused_line_refuses_its_text_alone() -> None:
    double = Double(lambda text: "" if text == "No" else shout(text))
    assert through(double, "Yes\nNo", "Yes\nand {a} too") == [
        Translation("", EMPTY),
        Translation("YES\nAND {a} TOO"),
    ]


def test_an_exact_translator_gets_the_whole_text_and_is_held_to_its_parts() -> None:
    double = Double(scope="exact", speak=lambda text: text.replace("{b}", "").upper())
    double.speak = lambda text: "Toma {a}" if "{a}" in text else "Toma"
    assert through(double, "Take {a}", "Take {b}\nnow") == [
        Translation("Toma {a}"),
        Translation("", PART_LOST),
    ]
    assert double.asked == ["Take {a}", "Take {b}\nnow"]


@pytest.mark.parametrize("seed", range(200))
@pytest.mark.parametrize("scope", ["line", "text"])
def test_every_translation_has_every_protected_part(seed: int, scope: str) -> None:
    rng = random.Random(seed)
    pieces = [rng.choice(rng.choice((PROTECTED, WORDS))) for _ in range(rng.randint(1, 10))]
    text = " ".join(pieces)

    def at_random(asked: str) -> str:
        speak: Callable[[str], str] = rng.choice((shout, doubles.reorder, *MISBEHAVING))
        return speak(asked)

    double = Double(at_random, scope="line" if scope == "line" else "text")
    (made,) = through(double, text, protection=ProtectionConfig(max_pieces=rng.choice((0, 4, 20))))
    if made.refusal:
        assert made == Translation("", PART_LOST)
    else:
        assert spans_of(text) == spans_of(made.text)
