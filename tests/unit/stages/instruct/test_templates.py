"""The templates: enough of them, with the places they need, naming languages as the reader does."""

from __future__ import annotations

import string
from collections import Counter

import pytest
from pydantic import ValidationError

from polylm_core.languages import POLYLM_LANGUAGES, load_languages, name_in
from polylm_core.stages.instruct.templates import (
    HubWording,
    load_templates,
    word_about,
    word_back,
    word_next,
    word_translation,
)

HUBS = ("eng_Latn", "zho_Hans")


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("language", POLYLM_LANGUAGES)
def test_every_language_of_polylm_has_its_own_wording(language: str) -> None:
    wording = load_templates().by_language[language]
    for draws in (0.0, 0.5, 0.99):
        prompt = word_translation(
            "{X}", source="eng_Latn", target=language, reader=language, draw=draws
        )
        assert "{X}" in prompt
    for template in (wording.continuation, wording.question, wording.answer, *wording.about):
        assert fields(template) == {"text"}
    if language not in HUBS:
        assert len(wording.into_self) >= 2
        assert all(fields(template) == {"text"} for template in (*wording.into_self, wording.next))
        assert fields(wording.into_other) == {"language", "text"}


@pytest.mark.parametrize("hub", HUBS)
def test_a_hub_has_a_dozen_templates_that_name_the_language_of_the_answer(hub: str) -> None:
    templates = load_templates().hubs[hub].first_turn
    assert len(set(templates)) == len(templates) >= 12
    assert all({"text", "language"} <= fields(template) for template in templates)
    asked = Counter(
        word_translation(
            "Salut", source="fra_Latn", target="tha_Thai", reader=hub, draw=n / len(templates)
        )
        for n in range(len(templates))
    )
    assert len(asked) == len(templates)
    assert all(name_in("tha_Thai", hub) in prompt and "Salut" in prompt for prompt in asked)


@pytest.mark.parametrize("hub", HUBS)
def test_the_forms_of_a_hub_are_what_they_are_called(hub: str) -> None:
    wording = load_templates().hubs[hub]
    assert all(template.startswith("{text}") for template in wording.text_first)
    assert all({"source", "language"} <= fields(each) for each in wording.explained)
    assert all(not template.endswith("{text}") for template in wording.completion)
    assert all(fields(template) == {"text"} for template in wording.next)
    assert all("language" in fields(template) for template in wording.back)


@pytest.mark.parametrize("hub", HUBS)
def test_a_hub_can_ask_for_each_of_the_204_languages_by_its_name(hub: str) -> None:
    for code in load_languages():
        prompt = word_translation("X", source="deu_Latn", target=code, reader=hub, draw=0.0)
        assert name_in(code, hub) in prompt


def test_a_hub_with_too_few_templates_is_refused() -> None:
    forms = load_templates().hubs["eng_Latn"].model_dump() | {"request": ("{language}: {text}",)}
    with pytest.raises(ValidationError, match="at least 12 templates"):
        HubWording.model_validate(forms)


def test_an_instruction_in_the_sources_language_names_the_answers_language_in_it() -> None:
    prompt = word_translation(
        "Guten Tag", source="deu_Latn", target="zho_Hans", reader="deu_Latn", draw=0.3
    )
    assert prompt == "Zielsprache: Chinesisch (vereinfacht). Übersetze: Guten Tag"


@pytest.mark.parametrize(
    ("reader", "again", "other_way"),
    [
        ("eng_Latn", "And this? Haus", "Now the other way, into English: Haus"),
        ("zho_Hans", "那这句呢？Haus", "现在反过来，译成英语：Haus"),
        ("deu_Latn", "Und das? Haus", "Zielsprache: Englisch. Übersetze: Haus"),
    ],
)
def test_a_later_turn_is_worded_shortly(reader: str, again: str, other_way: str) -> None:
    sides = {"source": "deu_Latn", "target": "eng_Latn"}
    assert word_next("Haus", **sides, reader=reader, draw=0.0) == again
    assert word_back("Haus", **sides, reader=reader, draw=0.0) == other_way


def test_the_same_draw_asks_the_same_about_a_heading_in_two_languages() -> None:
    assert word_about("Tables", reader="eng_Latn", draw=0.9) == "What is “Tables”?"
    assert word_about("Tablas", reader="spa_Latn", draw=0.9) == "¿Qué es «Tablas»?"
