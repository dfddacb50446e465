"""A translator behind an endpoint: what it is sent, what it costs, and what is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from polylm_core.errors import TeacherError
from polylm_core.teachers.exchange import REFUSED
from polylm_core.teachers.opening import Surroundings
from polylm_core.translators.bureau import Bureau
from polylm_core.translators.config import TranslateConfig
from polylm_core.translators.opening import open_bureau
from polylm_core.translators.translator import CUT_OFF, Translation
from tests.openai_server import KEY, MODEL, Books, serve_openai
from tests.support import SequentialBackend
from tests.unit.teachers.asking import KEY_VARIABLE, make_endpoint
from tests.unit.translators.watching import Watcher

TEXTS = ["Take {name} to `x`.", "Two\nlines.", "Yes", "", "Yes"]
SPOKEN = ["TAKE {name} TO `x`.", "TWO\nLINES.", "YES", "", "YES"]


def shouted(prompt: str, body: dict[str, Any]) -> str:
    """Capitals of what is below the request's line."""
    return " " + prompt.split("\n---\n", 1)[1].upper() + "\n"


def make_config(**changes: Any) -> TranslateConfig:
    translator = {
        "kind": "openai",
        "endpoint": "translator",
        "model": MODEL,
        "max_new_tokens": 50,
        "prices": {"per_million_prompt_tokens": 500.0, "per_million_answer_tokens": 1500.0},
        "budget": {"max_tokens": 100_000},
        "license": "CC0-1.0",
    }
    return TranslateConfig.model_validate(
        {"translator": translator | changes, "languages": ["spa_Latn"]}
    )


@pytest.fixture
def books() -> Iterator[Books]:
    with serve_openai(answer=shouted) as served:
        yield served


@contextmanager
def bureau_of(
    books: Books, folder: Path, watcher: Watcher | None = None, **config: Any
) -> Iterator[Bureau]:
    endpoints = {"translator": make_endpoint(books.url)}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(KEY_VARIABLE, KEY)
        with open_bureau(
            make_config(**config),
            Surroundings(endpoints, {}, folder / "answers.sqlite"),
            shards=folder / "shards",
            work=folder / "work",
            backend=SequentialBackend(),
            progress=watcher or Watcher(),
        ) as bureau:
            yield bureau


def test_each_text_is_sent_once_with_both_languages_and_its_parts_masked(
    tmp_path: Path, books: Books
) -> None:
    with bureau_of(books, tmp_path) as bureau:
        made = bureau.translate(TEXTS, "eng_Latn", "spa_Latn")
    assert made == [Translation(text) for text in SPOKEN]
    sent = [body["messages"][0]["content"] for body in books.bodies.values()]
    assert {text.split("\n---\n")[1] for text in sent} == {"Take [[0]] to", "Two\nlines.", "Yes"}
    assert all("from English (eng_Latn) into Spanish (spa_Latn)" in text for text in sent)
    assert {(body["temperature"], body["max_tokens"]) for body in books.bodies.values()} == {
        (0.0, 50)
    }


def test_a_rerun_asks_nothing_and_counts_the_same(tmp_path: Path, books: Books) -> None:
    watchers = [Watcher(), Watcher()]
    made = []
    for watcher in watchers:
        with bureau_of(books, tmp_path, watcher) as bureau:
            made.append(bureau.translate(TEXTS, "eng_Latn", "spa_Latn"))
    assert made[0] == made[1]
    assert sum(books.tries.values()) == 3
    tokens = sum(books.tokens)
    assert [watcher.said for watcher in watchers] == [watchers[0].said] * 2
    assert re.fullmatch(
        rf"translation: 3 answers, {tokens} tokens, 0\.\d+ spent", watchers[0].said[0]
    )


def test_with_a_fifth_of_the_answers_failing_nothing_is_lost(tmp_path: Path, books: Books) -> None:
    books.fault_share = 0.2
    texts = [f"Sentence {number} of {{many}} others" for number in range(40)]
    watcher = Watcher()
    with bureau_of(books, tmp_path, watcher) as bureau:
        made = bureau.translate(texts, "eng_Latn", "spa_Latn")
    assert "tries were lost on the way" in watcher.said[-1]
    assert [each.text for each in made] == [
        f"SENTENCE {number} OF {{many}} OTHERS" for number in range(40)
    ]
    assert sum(books.faults.values()) > 3
    assert len(books.charged) == 40


def test_a_text_the_endpoint_refuses_or_cuts_off_is_refused_alone(
    tmp_path: Path, books: Books
) -> None:
    content = {"error": {"message": "no", "code": "content_filter"}}
    books.always["wicked"] = (400, content)
    with bureau_of(books, tmp_path, max_failed_share=0.5) as bureau:
        made = bureau.translate(["Something wicked", "Yes"], "eng_Latn", "spa_Latn")
        books.finish_reason = "length"
        cut_off = bureau.translate(["Long"], "eng_Latn", "spa_Latn")
    assert made == [Translation("", REFUSED), Translation("YES")]
    assert cut_off == [Translation("", CUT_OFF)]


def test_a_spent_budget_names_the_translator(tmp_path: Path, books: Books) -> None:
    texts = [f"Sentence {number}" for number in range(20)]
    with bureau_of(books, tmp_path, budget={"max_tokens": 600}) as bureau:
        told = r"of 20 prompts asked for so far .* not known yet\. Raise `translator\.budget`"
        with pytest.raises(TeacherError, match=told):
            bureau.translate(texts, "eng_Latn", "spa_Latn")
    assert sum(books.tokens) <= 600
    with bureau_of(books, tmp_path) as bureau:
        made = bureau.translate(texts, "eng_Latn", "spa_Latn")
    assert made[-1].text == "SENTENCE 19"
    assert max(books.tries.values()) == 1, "a raised budget paid again"


def test_a_model_nobody_serves_names_the_translator(tmp_path: Path, books: Books) -> None:
    with bureau_of(books, tmp_path, model="other") as bureau:
        with pytest.raises(TeacherError, match=r"correct `translator\.model`"):
            bureau.translate(["Yes"], "eng_Latn", "spa_Latn")
