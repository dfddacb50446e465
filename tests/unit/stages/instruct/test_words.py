"""Words as ROUGE-L counts them, in languages with and without spaces."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from nltk.tokenize import wordpunct_tokenize

from polylm_core.errors import MachineError
from polylm_core.stages.instruct import words
from polylm_core.stages.instruct.filters import rouge_l
from polylm_core.stages.instruct.words import split_words, wording

TEXTS = (
    "¿Qué es 'esto'? Una lista: 1, 2.5 y ¡tres!",
    "اكتب جملة عن الشتاء، ثم ترجمها.",
    "Viết một câu về mùa đông... (ngắn thôi)",
    "",
)


@pytest.mark.parametrize("text", TEXTS)
def test_words_between_spaces_are_those_of_nltks_wordpunct(text: str) -> None:
    assert split_words(text, "spa_Latn") == wordpunct_tokenize(text)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (
            "jpn_Jpan",
            "東京都に住んでいます。",
            ["東京", "都", "に", "住ん", "で", "い", "ます", "。"],
        ),
        ("kor_Hang", "방에 들어가다 3", ["방", "에", "들어가", "다", "3"]),
        ("tha_Thai", "ฉันชอบ แมว", ["ฉัน", "ชอบ", "แมว"]),
        ("zho_Hans", "我来到北京 Hello", ["我", "来到", "北京", "Hello"]),
    ],
)
def test_a_language_without_spaces_is_split_by_its_segmenter(
    language: str, text: str, expected: list[str]
) -> None:
    assert split_words(text, language) == expected
    assert split_words(f"{text}\n{text}", language) == expected * 2


def test_a_text_longer_than_the_japanese_segmenter_takes_is_split() -> None:
    assert len(split_words("雪。" * 9_000, "jpn_Jpan")) == 18_000


def test_characters_are_words_where_no_segmenter_is_known() -> None:
    assert split_words("ກາ 3", "lao_Laoo") == ["ກ", "າ", "3"]


def test_the_wording_has_neither_marks_nor_case() -> None:
    assert wording(["Das", ",", "Haus", "3", "…"]) == ["das", "haus", "3"]


def test_rouge_l_counts_words_and_marks_as_they_stand() -> None:
    assert rouge_l("the black cat.", "the white cat.", "eng_Latn") == pytest.approx(3 / 4)
    assert rouge_l("The cat", "the cat", "eng_Latn") == pytest.approx(1 / 2)


def test_a_missing_segmenter_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    words._chinese.cache_clear()
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MachineError, match=r"rjieba.*pip install 'polylm\[segmenters\]'"):
        split_words("我", "zho_Hans")
