"""Line and word pass rates on sentences whose language anybody can see."""

from __future__ import annotations

import pytest

from polylm_core.stages.evaluate.confusion import passes_lines, passes_words, score_confusion
from polylm_core.stages.evaluate.tables import Translation

GERMAN = "Klicken Sie auf die Schaltfläche, um den Dialog zu öffnen."
ENGLISH = "Click the button to open the dialog of the program."
RUSSIAN = "Нажмите кнопку, чтобы открыть диалоговое окно программы."
CHINESE = "单击按钮以打开该程序的对话框窗口。"


@pytest.mark.parametrize(
    ("text", "language", "passes"),
    [
        (GERMAN, "deu_Latn", True),
        (f"{GERMAN}\n\n{ENGLISH}", "deu_Latn", False),
        (f"{GERMAN}\nOpen file", "deu_Latn", True),  # two words say nothing
        ("Ja, gern.", "deu_Latn", None),
        (ENGLISH, "zho_Hans", False),
        (CHINESE, "zho_Hans", True),
        ("单击按钮。", "zho_Hans", None),
        (GERMAN, "ace_Arab", None),  # lid.176 does not know it
    ],
)
def test_every_long_enough_line_has_to_be_in_the_language(
    text: str, language: str, passes: bool | None
) -> None:
    assert passes_lines(text, language) is passes


@pytest.mark.parametrize(
    ("text", "language", "passes"),
    [
        (RUSSIAN, "rus_Cyrl", True),
        (f"{RUSSIAN[:-1]} please.", "rus_Cyrl", False),
        (f"{RUSSIAN[:-1]} Windows 11 и www.example.com/page, config.yaml.", "rus_Cyrl", True),
        ("单击button以打开该程序的对话框窗口。", "zho_Hans", False),
        (f"{GERMAN} please", "deu_Latn", None),  # German has Latin letters itself
        (ENGLISH, "rus_Cyrl", None),  # fails by its lines already
    ],
)
def test_an_english_word_is_found_where_letters_are_not_latin(
    text: str, language: str, passes: bool | None
) -> None:
    assert passes_words(text, language) is passes


def test_rates_are_over_what_can_be_judged_by_direction_and_language() -> None:
    def row(language: str, direction: str, output: str) -> Translation:
        return Translation(language, direction, "1", "?", "!", output, True)

    rows = [
        row("rus_Cyrl", "from_english", RUSSIAN),
        row("rus_Cyrl", "from_english", f"{RUSSIAN} please"),
        row("rus_Cyrl", "from_english", ENGLISH),
        row("rus_Cyrl", "from_english", "Да."),
        row("rus_Cyrl", "into_english", RUSSIAN),
        row("deu_Latn", "from_english", GERMAN),
    ]
    found = {(s.metric, s.language): (s.value, s.items) for s in score_confusion([], rows)}
    assert found == {
        ("line_pass_rate_from_english", ""): (0.75, 4),
        ("line_pass_rate_from_english", "deu_Latn"): (1.0, 1),
        ("line_pass_rate_from_english", "rus_Cyrl"): (pytest.approx(2 / 3), 3),
        ("word_pass_rate_from_english", ""): (0.5, 2),
        ("word_pass_rate_from_english", "rus_Cyrl"): (0.5, 2),
        ("line_pass_rate_into_english", ""): (0.0, 1),
        ("line_pass_rate_into_english", "eng_Latn"): (0.0, 1),
    }
