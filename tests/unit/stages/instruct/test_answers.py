"""A teacher's answer is split on the labels of its language, however it numbers its tasks."""

from __future__ import annotations

import unicodedata

import pytest

from polylm_core.stages.instruct.answers import (
    FIELDS,
    Task,
    continued,
    load_labels,
    parse_answer,
)
from polylm_core.stages.instruct.prompts import OPENING

MULTIALPACA = (
    *("arb_Arab", "deu_Latn", "spa_Latn", "fra_Latn", "ind_Latn", "jpn_Jpan", "kor_Hang"),
    *("por_Latn", "rus_Cyrl", "tha_Thai", "vie_Latn"),
)
WRITTEN = {
    "arb_Arab": "٤. التعليمات: اذكر لونين.\n٤. المدخلات: لا يوجد\n٤. المخرجات: الأحمر والأزرق.",
    "deu_Latn": "4. Anweisung: Nenne zwei Farben.\n4. Eingabe: <keine Eingabe>\n4. Ausgabe: Rot.",
    "spa_Latn": "4) Instrucción: Nombra dos colores.\n4) Entrada: <sin entrada>\n4) Salida: Rojo.",
    "fra_Latn": "4. Consigne : Nomme deux couleurs.\n4. Entrée : aucune\n4. Sortie : Le rouge.",
    "ind_Latn": "4. Instruksi: Sebutkan dua warna.\n4. Masukan: Tidak ada\n4. Keluaran: Merah.",
    "jpn_Jpan": "４．指示：色を二つ挙げてください。\n４．入力：なし\n４．出力：赤と青です。",
    "kor_Hang": "4. 지시 사항: 색 두 가지를 말하세요.\n4. 입력: 없음\n4. 출력: 빨강과 파랑.",
    "por_Latn": "**4. Instrução:** Diga duas cores.\n**4. Entrada:** nenhuma\n**4. Saída:** Azul.",
    "rus_Cyrl": "4) Инструкция: Назови два цвета.\n4) Ввод: нет\n4) Вывод: Красный и синий.",
    "tha_Thai": "๔. คำสั่ง: บอกสีสองสี\n๔. อินพุต: ไม่มี\n๔. เอาต์พุต: แดงและน้ำเงิน",
    "vie_Latn": "4. Hướng dẫn: Kể hai màu.\n4. Đầu vào: không có\n4. Đầu ra: Đỏ và xanh.",
}
"""A task as a teacher of each language might write it, with a number in the form of its own."""


@pytest.mark.parametrize("language", MULTIALPACA)
def test_a_task_with_the_labels_of_its_language_is_whole(language: str) -> None:
    text = WRITTEN[language]
    tasks, reasons = parse_answer(
        text, is_complete=True, ends_at_blank_line=False, language=language
    )
    (task,) = tasks
    assert reasons == []
    assert task.input == ""
    assert task.instruction in text.splitlines()[0]
    assert task.output in text.splitlines()[2]
    assert min(len(task.instruction), len(task.output)) > 3


@pytest.mark.parametrize("language", MULTIALPACA)
@pytest.mark.parametrize("number", ["4. ", "4) ", "(4) ", "４、", "٤- ", "", "**4.** ", "## 4. "])
def test_every_label_is_known_with_every_number(language: str, number: str) -> None:
    labels = load_labels().by_language[language]
    for place in range(max(len(labels.of(part)) for part in FIELDS)):
        chosen = [labels.of(part)[place % len(labels.of(part))] for part in FIELDS]
        text = "".join(
            f"{number}{label}: {value}\n" for label, value in zip(chosen, "ABC", strict=True)
        )
        parsed = parse_answer(text, is_complete=True, ends_at_blank_line=False, language=language)
        assert parsed == ([Task("A", "B", "C")], [])


@pytest.mark.parametrize("language", MULTIALPACA)
def test_english_labels_are_known_in_every_language(language: str) -> None:
    text = "4. Instruction: A\n4. Input: <noinput>\n4. Output: C"
    parsed = parse_answer(text, is_complete=True, ends_at_blank_line=False, language=language)
    assert parsed == ([Task("A", "", "C")], [])


def test_an_answer_without_any_label_has_no_task() -> None:
    assert parse_answer("Sorry.", is_complete=True, ends_at_blank_line=False) == ([], [])


def test_another_languages_labels_are_text() -> None:
    text = "4. Instruction: A\n4. Input: B\n4. Output: C\nВывод: D"
    tasks, _ = parse_answer(text, is_complete=True, ends_at_blank_line=False, language="spa_Latn")
    assert tasks == [Task("A", "B", "C\nВывод: D")]


RECIPE = "Ingredientes:\n- 2 tomates\nInstrucciones:\n1. Pica los tomates.\n2. Sirve."
PROGRAM = "An example:\nInput: 3\nOutput: 9"


def parsed(text: str, language: str = "spa_Latn", **how: bool) -> tuple[list[Task], list[str]]:
    return parse_answer(
        text, language=language, **({"is_complete": True, "ends_at_blank_line": False} | how)
    )


@pytest.mark.parametrize("own", [RECIPE, PROGRAM])
def test_where_labels_carry_numbers_a_line_without_one_is_text(own: str) -> None:
    text = f"4. Instruction: A\n4. Input: B\n4. Output: {own}\n5. Instruction: D\n"
    assert parsed(text + "5. Input: E\n5. Output: F") == (
        [Task("A", "B", own), Task("D", "E", "F")],
        [],
    )


@pytest.mark.parametrize("rest", ["", "\n5. Instruction: D\nInput: E\nOutput: F"])
def test_a_number_before_the_instruction_alone_is_enough_for_the_instruction(rest: str) -> None:
    text = f"4. Instruction: A\nInput: B\nOutput: {RECIPE}{rest}"
    assert parsed(text) == ([Task("A", "B", RECIPE), Task("D", "E", "F")][: 1 + bool(rest)], [])


@pytest.mark.parametrize("own", [RECIPE, PROGRAM])
@pytest.mark.parametrize("rest", ["", "\nInstruction: D\nInput: E\nOutput: F"])
def test_without_numbers_a_task_that_may_end_too_early_is_not_kept(own: str, rest: str) -> None:
    tasks, reasons = parsed(f"Instruction: A\nInput: B\nOutput: {own}{rest}")
    assert tasks == ([Task("D", "E", "F")] if rest else [])
    assert set(reasons) == {"incomplete"}


def test_an_answer_cut_off_within_a_recipe_keeps_no_half_of_it() -> None:
    text = f"Instruction: A\nInput: B\nOutput: {RECIPE}"
    assert parsed(text, is_complete=False) == ([], ["cut-off", "incomplete"])


def test_one_who_goes_on_without_numbers_is_understood() -> None:
    text = "4. Instruction: A\nInput: B\nOutput: C\nInstruction: D\nInput: E\nOutput: F"
    assert parsed(text) == ([Task("A", "B", "C"), Task("D", "E", "F")], [])


def test_a_task_about_tasks_and_one_who_stops_to_number_are_not_told_apart() -> None:
    text = "4. Instruction: A\n4. Input: B\n4. Output: C\nInstruction: D\nInput: E\nOutput: F"
    assert parsed(text) == ([], ["incomplete"])


def test_a_list_of_labels_in_an_output_ends_no_task() -> None:
    text = "4. Instruction: A\n4. Input: B\n4. Output: Devices:\n1. Input: mouse\n2. Output: screen"
    assert parsed(text) == ([], ["incomplete"])


def test_one_who_begins_to_count_anew_loses_the_task_before() -> None:
    task = "{n}. Instruction: A\n{n}. Input: B\n{n}. Output: C\n"
    text = "".join(task.format(n=number) for number in (4, 5, 1, 2))
    assert parsed(text) == ([Task("A", "B", "C")] * 3, ["incomplete"])


@pytest.mark.parametrize("number", ["", "4. "])
def test_a_task_without_its_input_takes_no_other_with_it(number: str) -> None:
    text = f"{number}Instruction: A\n{number}Input: B\n{number}Output: C\n"
    missing = f"{number}Instruction: D\n{number}Output: E\n"
    assert parsed(text + missing + text) == ([Task("A", "B", "C")] * 2, ["incomplete"])


def test_a_task_that_begins_with_its_input_takes_no_other_with_it() -> None:
    text = "4. Instruction: A\n4. Input: B\n4. Output: C\n5. Input: E\n5. Output: F"
    assert parsed(text) == ([Task("A", "B", "C")], ["incomplete"])


def test_decomposed_letters_are_the_same_labels() -> None:
    text = unicodedata.normalize("NFD", WRITTEN["vie_Latn"])
    tasks, _ = parse_answer(text, is_complete=True, ends_at_blank_line=False, language="vie_Latn")
    assert tasks[0].output == "Đỏ và xanh."


def test_a_list_that_is_begun_once_more_is_not_opened_again() -> None:
    for text in ("4. Instruction: A", "\n4) Инструкция: A"):
        assert continued(text, OPENING, "rus_Cyrl") == text
    assert continued(" A", OPENING, "rus_Cyrl") == "4. Instruction: A"


def test_no_label_stands_for_two_parts() -> None:
    for language, labels in load_labels().by_language.items():
        named = [label for part in FIELDS for label in labels.of(part)]
        assert len(named) == len(set(named)), language
