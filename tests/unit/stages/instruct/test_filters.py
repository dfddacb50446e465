"""What becomes of a teacher's answer, and how tasks are worded."""

from __future__ import annotations

import pytest

from polylm_core.stages.instruct.answers import Task, parse_answer
from polylm_core.stages.instruct.config import SelfInstructConfig
from polylm_core.stages.instruct.filters import PUBLISHED, Sieve, masked, rouge_l
from polylm_core.stages.instruct.selection import (
    draw,
    first_drawn,
    in_drawn_order,
    letter_share,
)
from tests.unit.stages.test_instruct import SELF_INSTRUCT

CONFIG = SelfInstructConfig.model_validate(
    SELF_INSTRUCT
    | {
        "max_redundancy_by_language": {"vie_Latn": 0.3, "arb_Arab": 0.2},
        "checks": {"min_distinct_share": 0.5},
    }
)
TASK = Task("Describe the weather in winter.", "", "In winter it is cold and the days are short.")


def test_an_answer_is_split_into_its_tasks() -> None:
    text = (
        "4. Instruction: Add the numbers.\n4. Input: 2 and 3\n4. Output: Five.\nQuite sure.\n"
        "5. Instruction: Say hello.\n5. Input: <noinput>\n5. Output: Hello!\n\nI hope this helps."
    )
    tasks, reasons = parse_answer(text, is_complete=True, ends_at_blank_line=True)
    assert tasks == [
        Task("Add the numbers.", "2 and 3", "Five.\nQuite sure."),
        Task("Say hello.", "", "Hello!"),
    ]
    assert reasons == []


def test_an_answer_that_hit_the_length_limit_loses_its_last_task() -> None:
    text = (
        "4. Instruction: A\n4. Input: B\n4. Output: C\n5. Instruction: D\n5. Input: E\n5. Output: F"
    )
    tasks, reasons = parse_answer(text, is_complete=False, ends_at_blank_line=True)
    assert tasks == [Task("A", "B", "C")]
    assert reasons == ["cut-off"]


def test_a_task_without_all_three_fields_is_incomplete() -> None:
    text = "4. Instruction: A\n4. Output: C\n5. Instruction: D\n5. Input: E\n5. Output:\n"
    parsed = parse_answer(text, is_complete=True, ends_at_blank_line=True)
    assert parsed == ([], ["incomplete", "incomplete"])


def test_an_answer_keeps_its_paragraphs_where_the_teacher_does_not_talk_on() -> None:
    text = "4. Instruction: A\n4. Input: <noinput>\n4. Output: One.\n\nTwo."
    tasks, _ = parse_answer(text, is_complete=True, ends_at_blank_line=False)
    assert tasks == [Task("A", "", "One.\n\nTwo.")]


def reason(task: Task, language: str = "eng_Latn", known: tuple[str, ...] = ()) -> str | None:
    return Sieve(language, CONFIG, known).judge(task)[1]


def test_a_good_task_is_kept() -> None:
    assert reason(TASK) is None


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Task("Name a colour.", "", " "), "incomplete"),
        (Task("", "", "The colour is yellow."), "incomplete"),
        (Task("Open the page.", "", "It is at https://example.org/page."), "link"),
        (Task("Say it again.", "The sun is a star.", "The sun is a star."), "echo"),
        (Task("Tell me more.", "", "of the moon of the moon of the moon of the moon"), "loop"),
        (
            Task("Sort the numbers 5, 7, 1", "numbers 5, 7, 1 sort the", "1, 5 and then 7 last"),
            "redundant-input",
        ),
        (
            Task("Describe the winter.", "", "Im Winter ist es kalt und die Tage sind kurz."),
            "other-language",
        ),
    ],
)
def test_a_bad_task_is_dropped_for_its_reason(task: Task, expected: str) -> None:
    assert reason(task) == expected


def test_an_instruction_close_to_a_known_one_is_not_novel() -> None:
    assert reason(TASK, known=("Describe the weather in summer.",)) == "not-novel"
    assert reason(TASK, known=("Write a poem about a small cat.",)) is None


def test_an_input_repeated_from_the_instruction_is_emptied() -> None:
    task = Task("What does the word winter mean to people?", "winter", TASK.output)
    judged = Sieve("eng_Latn", CONFIG).judge(task)
    assert judged == (Task(task.instruction, "", task.output), None)


def test_the_limit_of_redundancy_depends_on_the_language() -> None:
    task = Task("Hãy sắp xếp các số sau đây", "các số sau: 5, 7, 1", "Các số là 1, 5 và 7.")
    assert 0.3 < rouge_l(task.instruction, task.input, "vie_Latn") < 0.5
    assert reason(task, "vie_Latn") == "redundant-input"


def copy_of(words: list[str], common: int) -> Task:
    """A task whose instruction has so many of the words, at a ROUGE-L of their share."""
    others = "yellow green river mountain small large seven ninety door window".split()
    rest = [others[place % len(others)] for place in range(len(words) - common)]
    return Task(" ".join(words[:common] + rest), "", TASK.output)


def test_a_near_copy_at_071_is_dropped_and_one_at_069_is_kept() -> None:
    words = [f"word{number}" for number in range(100)]
    sieve = Sieve("eng_Latn", CONFIG, [" ".join(words)], reasons=PUBLISHED)
    for common, expected in ((71, "not-novel"), (69, None)):
        task = copy_of(words, common)
        similarity = rouge_l(" ".join(words), task.instruction, "eng_Latn")
        assert similarity == pytest.approx(common / 100)
        assert sieve.judge(task)[1] == expected


def test_what_a_sieve_learns_is_no_longer_novel() -> None:
    sieve = Sieve("eng_Latn", CONFIG)
    assert sieve.judge(TASK)[1] is None
    sieve.learn(TASK.instruction)
    assert sieve.judge(TASK)[1] == "not-novel"
    assert sieve.nearest(TASK.instruction) == 0


def test_the_published_filters_alone_ask_for_no_language() -> None:
    task = Task("Describe the winter.", "", "Im Winter ist es kalt und die Tage sind kurz.")
    assert reason(task) == "other-language"
    assert Sieve("eng_Latn", CONFIG, reasons=PUBLISHED).judge(task)[1] is None


def test_personal_data_is_masked_in_every_part() -> None:
    task = Task("Write to ann@example.org.", "ann@example.org", "I wrote to ann@example.org.")
    expected = Task("Write to <EMAIL>.", "<EMAIL>", "I wrote to <EMAIL>.")
    found = {"<EMAIL> masked": 3, "tasks with personal data": 1}
    assert masked(task, "eng_Latn") == (expected, found)
    assert masked(TASK, "eng_Latn") == (TASK, {})


def test_letters_and_their_marks_are_letters() -> None:
    assert letter_share("ภาษาไทยที่นี่") == 1.0
    assert letter_share("f(x) = $1 + 2") < 0.3


def test_a_draw_depends_on_its_names_only() -> None:
    assert draw(1, "a", "b") == draw(1, "a", "b")
    assert len({draw(1, "a"), draw(2, "a"), draw(1, "b"), draw(1, "a", "b")}) == 4
    assert all(0 <= draw(0, number) < 1 for number in range(100))


@pytest.mark.parametrize("count", [1, 7, 100, 101])
def test_the_first_drawn_are_the_beginning_of_the_order(count: int) -> None:
    ordered = in_drawn_order(range(100), 7, str)
    assert ordered != list(range(100))
    assert first_drawn(iter(range(100)), 7, str, count) == (ordered[:count], 100)


BAD = """ Describe the weather in summer.
4. Input: <noinput>
4. Output: Im Sommer ist es warm und die Tage sind sehr lang.
5. Instruction: Open the page and read it to me.
5. Input: <noinput>
5. Output: It is at https://example.org/page and it says hello.
6. Instruction: Describe the weather in winter in one word.
6. Input: <noinput>
6. Output: It is as cold as the sea in the north.
7. Instruction: Name a warm colour that many people like.
7. Input:
7. Output: A warm colour that many people like is yellow.
8. Instruction: Translate the word winter and say what it means.
8. Input: winter
8. Output: It means the cold part of the year before the spring.
9. Instruction: Write a long story about a ship.
9. Input: <noinput>
9. Output: Once upon a time there was a ship that went to"""


def test_every_bad_task_planted_in_an_answer_is_dropped_for_its_reason() -> None:
    tasks, reasons = parse_answer(
        f"4. Instruction:{BAD}", is_complete=False, ends_at_blank_line=False
    )
    sieve = Sieve("eng_Latn", CONFIG, [TASK.instruction])
    judged = [sieve.judge(task) for task in tasks]
    assert reasons == ["cut-off", "incomplete"]
    assert [reason for _, reason in judged] == ["other-language", "link", "not-novel", None]
    assert judged[-1][0].input == ""
