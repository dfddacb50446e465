"""Aligned pairs as text: every layout in both directions, drawn by id and seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from pydantic import TypeAdapter, ValidationError

from polylm_core.pair_layouts import (
    DEFAULT_WEIGHTS,
    LAYOUTS,
    LayoutName,
    LayoutWeights,
    Sides,
    lay_out,
)
from polylm_core.records import Pair

PAIR = Pair(
    id="udhr/eng_Latn-deu_Latn/1#0",
    language_a="eng_Latn",
    text_a="Everyone has the right to rest.",
    language_b="deu_Latn",
    text_b="Jeder hat das Recht auf Erholung.",
    source="udhr",
    license="CC0-1.0",
)
FORWARD = Sides(PAIR.text_a, PAIR.text_b, "eng_Latn", "deu_Latn")
PAIRS = [replace(PAIR, id=f"udhr/eng_Latn-deu_Latn/{number}#0") for number in range(4000)]


@pytest.mark.parametrize(
    ("name", "between"),
    [
        ("lines", ("", "\n", "")),
        ("tab", ("", "\t", "")),
        ("arrow", ("", " => ", "")),
        ("labelled", ("Englisch: ", "\nDeutsch: ", "")),
        ("translate", ("", "\nTranslate this sentence from English to German.\n", "")),
        ("translate_native", ("", "\n[English → Deutsch]\n", "")),
    ],
)
def test_a_layout_is_what_it_says(name: LayoutName, between: tuple[str, str, str]) -> None:
    before, middle, after = between
    assert LAYOUTS[name](FORWARD) == before + PAIR.text_a + middle + PAIR.text_b + after


def test_labels_are_in_the_language_that_is_read_to() -> None:
    backward = Sides(PAIR.text_b, PAIR.text_a, "deu_Latn", "eng_Latn")
    assert LAYOUTS["labelled"](backward).startswith("German: ")
    french = Sides("Bonjour", "おはよう", "fra_Latn", "jpn_Jpan")
    assert LAYOUTS["labelled"](french) == "フランス語: Bonjour\n日本語: おはよう"


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_each_side_comes_first_for_half_of_the_pairs(name: LayoutName) -> None:
    texts = [lay_out(pair, 1, {name: 1.0}) for pair in PAIRS]
    english_first = sum(text.index(PAIR.text_a) < text.index(PAIR.text_b) for text in texts)
    assert english_first == pytest.approx(len(texts) / 2, rel=0.05)
    assert len(set(texts)) == 2


def test_layouts_are_drawn_by_their_weights() -> None:
    weights: dict[LayoutName, float] = {"tab": 3, "arrow": 1, "lines": 0}
    drawn = Counter("\t" in lay_out(pair, 1, weights) for pair in PAIRS)
    assert drawn[True] / len(PAIRS) == pytest.approx(0.75, abs=0.03)
    assert not any("\n" in lay_out(pair, 1, weights) for pair in PAIRS)


def test_the_draw_depends_on_id_and_seed_alone() -> None:
    first = [lay_out(pair, 1, DEFAULT_WEIGHTS) for pair in PAIRS]
    again = [lay_out(pair, 1, DEFAULT_WEIGHTS) for pair in reversed(PAIRS)]
    assert first == again[::-1]
    assert first != [lay_out(pair, 2, DEFAULT_WEIGHTS) for pair in PAIRS]


@pytest.mark.parametrize("wrong", [{}, {"lines": 0}, {"lines": -1}, {"rows": 1}])
def test_impossible_weights_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(LayoutWeights).validate_python(wrong)
