"""A teacher behind an endpoint: what is asked, tried again, stored and paid for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from polylm_core.errors import TeacherError
from polylm_core.teachers.config import OpenAITeacher
from polylm_core.teachers.spending import most_of
from polylm_core.teachers.teacher import Usage
from tests.openai_server import KEY, serve_openai
from tests.unit.teachers.asking import PROMPTS, SAMPLING, make_config, teacher_of


def test_answers_come_in_the_order_of_the_prompts_whatever_order_they_arrive_in(
    tmp_path: Path,
) -> None:
    heard: list[Usage] = []
    with (
        serve_openai(slow_seconds=lambda key: int(key[0], 16) / 200) as books,
        teacher_of(books.url, tmp_path / "a", heard=heard) as teacher,
    ):
        answers = teacher.ask(PROMPTS, SAMPLING, seed=1)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        assert answer.text.endswith(f"to {prompt}")
        assert answer.is_complete
        assert (answer.prompt_tokens, answer.answer_tokens) == (4, 7)
    assert 1 < books.most_at_once <= 8
    assert heard[-1] == teacher.spent == Usage(12, 48, 84)
    assert books.tokens == (48, 84)


def test_what_was_asked_once_is_not_asked_again(tmp_path: Path) -> None:
    with serve_openai() as books:
        with teacher_of(books.url, tmp_path / "a") as teacher:
            first = teacher.ask(PROMPTS, SAMPLING, seed=1)
        books.fault_share = 1.0
        with teacher_of(books.url, tmp_path / "a") as teacher:
            assert teacher.ask(PROMPTS[::-1], SAMPLING, seed=1) == first[::-1]
            assert teacher.spent.answers == 12
        assert sum(books.tries.values()) == 12


def test_a_prompt_asked_twice_gets_two_answers_and_another_seed_others(tmp_path: Path) -> None:
    with serve_openai() as books, teacher_of(books.url, tmp_path / "a") as teacher:
        texts = [answer.text for answer in teacher.ask(["same", "same"], SAMPLING, seed=1)]
        texts += [answer.text for answer in teacher.ask(["same"], SAMPLING, seed=2)]
    assert len(set(texts)) == 3


@pytest.mark.parametrize("form", ["chat", "completions"])
def test_only_the_settings_the_endpoint_knows_are_sent(tmp_path: Path, form: str) -> None:
    with (
        serve_openai() as books,
        teacher_of(
            books.url,
            tmp_path / "a",
            form=form,
            length_setting="max_completion_tokens",
            further_settings=["top_k"],
        ) as teacher,
    ):
        (answer,) = teacher.ask(["hello"], SAMPLING, seed=1)
    assert answer.text == "answer 0 to hello"
    (body,) = books.bodies.values()
    asked = {"messages": [{"role": "user", "content": "hello"}]}
    assert body == {
        "model": "tiny-chat",
        "temperature": 0.7,
        "max_completion_tokens": 40,
        "top_k": 40,
        **(asked if form == "chat" else {"prompt": "hello"}),
    }


def test_an_answer_cut_off_by_the_length_limit_is_not_complete(tmp_path: Path) -> None:
    with (
        serve_openai(finish_reason="length") as books,
        teacher_of(books.url, tmp_path / "a") as teacher,
    ):
        (answer,) = teacher.ask(["hello"], SAMPLING, seed=1)
    assert (answer.is_complete, answer.failure) == (False, "")


def test_retry_after_is_honoured(tmp_path: Path) -> None:
    with (
        serve_openai(first=[(429, {"Retry_After": "0.3"})]) as books,
        teacher_of(books.url, tmp_path / "a") as teacher,
    ):
        teacher.ask(["hello"], SAMPLING, seed=1)
    first, second = books.arrivals
    assert second - first > 0.25


def test_a_wrong_key_is_told_at_once_and_not_shown(tmp_path: Path) -> None:
    wrong = "sk-wrong-but-secret"
    with (
        serve_openai() as books,
        teacher_of(books.url, tmp_path / "a", key=wrong) as teacher,
        pytest.raises(TeacherError, match=r"401: wrong key: Bearer \[key\].*TEACHER_KEY") as caught,
    ):
        teacher.ask(["hello"], SAMPLING, seed=1)
    assert wrong not in str(caught.value)
    assert sum(books.tries.values()) == 1


def test_no_key_where_one_is_wanted_says_where_to_name_it(tmp_path: Path) -> None:
    with (
        serve_openai() as books,
        teacher_of(books.url, tmp_path / "a", endpoint={"key_variable": None}) as teacher,
        pytest.raises(TeacherError, match=r"401.*endpoints\.teacher\.key_variable"),
    ):
        teacher.ask(["hello"], SAMPLING, seed=1)


def test_an_unknown_model_is_told_at_once(tmp_path: Path) -> None:
    with (
        serve_openai() as books,
        teacher_of(books.url, tmp_path / "a", model="gpt-9") as teacher,
        pytest.raises(TeacherError, match=r"404: no model gpt-9; it knows no model 'gpt-9'"),
    ):
        teacher.ask(PROMPTS, SAMPLING, seed=1)
    assert max(books.tries.values()) == 1


def test_no_credit_is_told_at_once(tmp_path: Path) -> None:
    error = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    with (
        serve_openai(always={"hello": (429, error)}) as books,
        teacher_of(books.url, tmp_path / "a") as teacher,
        pytest.raises(TeacherError, match="no credit left"),
    ):
        teacher.ask(["hello"], SAMPLING, seed=1)
    assert sum(books.tries.values()) == 1


def test_refused_and_rejected_prompts_stay_so_and_failed_ones_are_asked_again(
    tmp_path: Path,
) -> None:
    always = {
        "question 3": (400, {"error": {"message": "no", "code": "content_filter"}}),
        "question 5": (422, {"detail": "too long"}),
        "question 7": (503, {"error": {"message": "overloaded"}}),
    }
    with serve_openai(always=always) as books:
        with teacher_of(
            books.url, tmp_path / "a", max_failed_share=0.25, endpoint={"max_tries": 3}
        ) as teacher:
            answers = teacher.ask(PROMPTS, SAMPLING, seed=1)
        tries = sum(books.tries.values())
        assert tries == 9 + 1 + 1 + 3
        books.always.clear()
        with teacher_of(books.url, tmp_path / "a", max_failed_share=0.25) as teacher:
            again = teacher.ask(PROMPTS, SAMPLING, seed=1)
        assert again[7].text.endswith("to question 7 of many")
        assert [*again[:7], *again[8:]] == [*answers[:7], *answers[8:]]
        assert sum(books.tries.values()) == tries + 1
    failures = {index: answer.failure for index, answer in enumerate(answers) if answer.failure}
    assert failures == {3: "teacher-refused", 5: "teacher-rejected", 7: "teacher-failed"}


def test_a_refusal_that_was_paid_for_is_counted_and_no_text(tmp_path: Path) -> None:
    with (
        serve_openai(finish_reason="content_filter") as books,
        teacher_of(books.url, tmp_path / "a", max_failed_share=0.1) as teacher,
    ):
        (answer,) = teacher.ask(["hello"], SAMPLING, seed=1)
        assert (answer.text, answer.failure) == ("", "teacher-refused")
        with pytest.raises(TeacherError, match=r"left 2 of 12.*teacher-refused"):
            teacher.ask(["hello", "you"], SAMPLING, seed=1)
        assert (teacher.spent.prompt_tokens, teacher.spent.answer_tokens) == books.tokens


def test_more_failures_than_declared_are_an_error_and_asked_again_later(tmp_path: Path) -> None:
    down = {"question": (500, {"error": {"message": f"down; {KEY}"}})}
    with serve_openai() as books:
        with teacher_of(books.url, tmp_path / "a") as teacher:
            kept = teacher.ask(PROMPTS[:4], SAMPLING, seed=1)
        books.always.update(down)
        tries = sum(books.tries.values())
        with (
            teacher_of(books.url, tmp_path / "a", endpoint={"max_tries": 2}) as teacher,
            pytest.raises(TeacherError, match=r"left 1 of 12 .* 0 may be; .*500: down; \[key\]"),
        ):
            teacher.ask(PROMPTS, SAMPLING, seed=1)
        assert sum(books.tries.values()) <= tries + 16
        books.always.clear()
        with teacher_of(books.url, tmp_path / "a") as teacher:
            answers = teacher.ask(PROMPTS, SAMPLING, seed=1)
    assert answers[:4] == kept
    assert not any(answer.failure for answer in answers)


def test_an_endpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        teacher_of("http://127.0.0.1:9/v1", tmp_path / "a", endpoint={"max_tries": 2}) as teacher,
        pytest.raises(TeacherError, match=r"no connection to http://127\.0\.0\.1:9/v1"),
    ):
        teacher.ask(PROMPTS, SAMPLING, seed=1)


def test_an_endpoint_that_counts_no_tokens_is_refused(tmp_path: Path) -> None:
    with (
        serve_openai(has_usage=False) as books,
        teacher_of(books.url, tmp_path / "a") as teacher,
        pytest.raises(TeacherError, match="does not say how many tokens"),
    ):
        teacher.ask(["hello"], SAMPLING, seed=1)


@pytest.mark.parametrize(
    "budget",
    [
        {"max_tokens": 300},
        {"max_money": 0.25},
    ],
)
def test_a_spent_budget_stops_cleanly_and_a_larger_one_goes_on(
    tmp_path: Path, budget: dict[str, float]
) -> None:
    prompts = [f"{prompt}, {'and so on ' * 8}" for prompt in PROMPTS]
    with serve_openai() as books:
        with (
            teacher_of(books.url, tmp_path / "a", budget=budget) as teacher,
            pytest.raises(TeacherError, match=r"prompts are without an answer.* run again") as told,
        ):
            teacher.ask(prompts, SAMPLING, seed=1)
        spent = teacher.spent
        assert 0 < spent.answers < 12
        assert (spent.prompt_tokens, spent.answer_tokens) == books.tokens
        assert spent.tokens <= budget.get("max_tokens", spent.tokens)
        assert spent.cost(make_config().prices) <= budget.get("max_money", 1.0)
        assert f"{spent.answers} answers took {spent.tokens:,} tokens" in str(told.value)
        assert f"{12 - spent.answers} of 12 prompts" in str(told.value)
        with teacher_of(books.url, tmp_path / "a") as teacher:
            answers = teacher.ask(prompts, SAMPLING, seed=1)
            assert (teacher.spent.prompt_tokens, teacher.spent.answer_tokens) == books.tokens
    assert len(answers) == 12
    assert set(books.tries.values()) == {1}


def test_what_is_stored_counts_before_anything_is_asked(tmp_path: Path) -> None:
    with serve_openai() as books:
        with teacher_of(books.url, tmp_path / "a") as teacher:
            teacher.ask(PROMPTS[1:], SAMPLING, seed=1)
            taken = teacher.spent.tokens
        # As much as the answers took: nothing is left for the one that is missing.
        with (
            teacher_of(books.url, tmp_path / "a", budget={"max_tokens": taken}) as teacher,
            pytest.raises(TeacherError, match=r"11 answers took .* 1 of 12 prompts"),
        ):
            teacher.ask(PROMPTS, SAMPLING, seed=1)
        with teacher_of(books.url, tmp_path / "a", budget={"max_tokens": taken}) as teacher:
            teacher.ask(PROMPTS[1:], SAMPLING, seed=1)
    assert sum(books.tries.values()) == 11


def test_money_without_prices_and_a_budget_without_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="needs `prices`"):
        make_config(prices=None, budget={"max_money": 1.0})
    with pytest.raises(ValueError, match="max_tokens, max_money or both"):
        make_config(budget={})
    assert OpenAITeacher.model_validate(make_config(prices=None).model_dump()).prices is None


def test_faults_lose_nothing_and_cost_what_the_server_counts(tmp_path: Path) -> None:
    prompts = [f"prompt {number}" for number in range(60)]
    with (
        serve_openai(fault_share=0.2) as books,
        teacher_of(books.url, tmp_path / "a", num_prompts=60) as teacher,
    ):
        answers = teacher.ask(prompts, SAMPLING, seed=1)
        lost = books.faults["time-out"] + books.faults["cut-off"] + books.faults["not-json"]
        # On a busy machine a try may time out by itself: it is told as lost, and tried again.
        resent = sum(count - 1 for count in books.sent.values())
        assert teacher.num_lost - lost == resent
    assert set(books.faults) >= {"429", "500", "time-out", "cut-off", "not-json"}
    assert [answer.text.partition(" to ")[2] for answer in answers] == prompts
    assert (teacher.spent.prompt_tokens, teacher.spent.answer_tokens) == books.tokens
    assert len(books.sent) == len(books.charged) == 60


def test_where_keys_are_not_honoured_the_tries_that_may_have_cost_more_are_counted(
    tmp_path: Path,
) -> None:
    with (
        serve_openai(fault_share=0.3, honours_keys=False) as books,
        teacher_of(books.url, tmp_path / "a") as teacher,
    ):
        teacher.ask(PROMPTS, SAMPLING, seed=1)
        assert len(books.charged) - teacher.spent.answers == teacher.num_lost > 0


@pytest.mark.parametrize(("counts", "tries"), [(True, 2), (False, 4)])
def test_a_lost_try_counts_with_the_most_it_can_have_cost(
    tmp_path: Path, counts: bool, tries: int
) -> None:
    most = most_of("hello", SAMPLING.max_new_tokens).tokens
    budget = {"max_tokens": 3 * most - 1, "counts_lost_tries": counts}
    told = (
        rf"2 tries were lost .* count with {2 * most} tokens" if counts else "left 1 of 1 prompts"
    )
    with (
        serve_openai(slow_seconds=lambda key: 0.5) as books,
        teacher_of(
            books.url,
            tmp_path / "a",
            num_prompts=1,
            budget=budget,
            endpoint={"timeout_seconds": 0.1, "max_tries": 4},
        ) as teacher,
    ):
        with pytest.raises(TeacherError, match=told):
            teacher.ask(["hello"], SAMPLING, seed=1)
        assert teacher.num_lost == tries == sum(books.tries.values())
        assert teacher.spent.tokens == 0


def test_what_waits_for_the_rate_is_let_go_when_the_stage_stops(tmp_path: Path) -> None:
    begun = time.monotonic()
    with (
        serve_openai() as books,
        teacher_of(
            books.url, tmp_path / "a", key="sk-wrong", endpoint={"requests_per_minute": 2}
        ) as teacher,
        pytest.raises(TeacherError, match="401"),
    ):
        teacher.ask(PROMPTS, SAMPLING, seed=1)
    assert time.monotonic() - begun < 20, "the third of a minute's two requests waits for 30 s"


def test_the_store_has_no_key(tmp_path: Path) -> None:
    with serve_openai() as books, teacher_of(books.url, tmp_path / "a") as teacher:
        teacher.ask(PROMPTS, SAMPLING, seed=1)
    assert KEY.encode() not in (tmp_path / "a").read_bytes()
