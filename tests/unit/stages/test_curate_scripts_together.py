"""The filters that ask about several documents at once, and opt-outs, in eight scripts.

One run of the stage on real pages: interface strings of a browser. Of each kind one document is
kept and one is dropped, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from polylm_core.languages import get_language
from polylm_core.records import Document, read_documents
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.stage import curate
from tests.support import make_run
from tests.unit.stages.curate_real import (
    RECIPE,
    SCRIPTS,
    publish_real,
    real_documents,
    rows_of,
)

LANGUAGES = tuple(SCRIPTS.values())
CONFIG = CurateConfig.model_validate(
    RECIPE["curate"]
    | {
        "opt_out": {
            "ids": [f"chromium-l10n/{language}/opt-out" for language in LANGUAGES],
            "domains": ["example.org"],
        },
        "min_copied_letters": None,
        "repeated_lines": {"max_documents": 4},
        "held_out": {"share": 1e-9, "min_bytes": 0},
    }
)
scripts = pytest.mark.parametrize("language", LANGUAGES, ids=SCRIPTS.keys())
NUM_PAGES = 12


def page(language: str, number: int) -> Document:
    """A page that the other pages are unlike."""
    return real_documents("chromium-l10n", language)[60 + 3 * number]


def changed(text: str, language: str) -> str:
    """The text with one word, or one character, left out in the middle."""
    if get_language(language).words == "spaces":
        words = text.split(" ")
        return " ".join([*words[: len(words) // 2], *words[len(words) // 2 + 1 :]])
    return text[: len(text) // 2] + text[len(text) // 2 + 1 :]


def footer(language: str) -> str:
    return max(real_documents("udhr", language)[1].text.split("\n"), key=len)


def question(language: str) -> str:
    """A line of the evaluation set."""
    rows = real_documents("udhr", language)[5:]
    return max((line for row in rows for line in row.text.split("\n")), key=len)


def spoilt(language: str) -> list[Document]:
    """Pages, and beside them what is to be dropped, named after its kind."""
    pages = [page(language, number) for number in range(NUM_PAGES)]

    def add(kind: str, text: str, url: str = "") -> Document:
        row = replace(pages[0], id=f"chromium-l10n/{language}/{kind}", text=text, url=url)
        return row

    return [
        *(
            replace(row, text=f"{row.text}\n{footer(language)}") if 4 <= number < 10 else row
            for number, row in enumerate(pages)
        ),
        add("opt-out", page(language, 20).text),
        add("opt-out-domain", page(language, 21).text, "https://www.example.org/a"),
        add("other-domain", page(language, 22).text, "https://www.example.com/a"),
        add("empty", "https://example.com/a\n\u200b\n"),
        add("exact", pages[0].text),
        add("near", changed(pages[1].text, language)),
        add("leak", "\n".join([page(language, 23).text, question(language)])),
        add("only-leak", question(language)),
    ]


@dataclass
class Outcome:
    kept: dict[str, Document]
    dropped: dict[str, tuple[str, str]]
    """Filter and reason."""

    def reason(self, language: str, kind: str) -> tuple[str, str] | None:
        identifier = f"chromium-l10n/{language}/{kind}"
        assert (identifier in self.kept) != (identifier in self.dropped)
        return self.dropped.get(identifier)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("scripts")
    exam = [Document(f"exam/{code}/1", question(code), code, "exam", "MIT") for code in LANGUAGES]
    documents = publish_real(
        folder, {"chromium-l10n": [spoilt(code) for code in LANGUAGES]}, evaluation=exam
    )
    shards = curate(CONFIG, documents, make_run(folder, languages=LANGUAGES, name="02_shards"))
    kept = [row for code in LANGUAGES for row in read_documents(shards.path / "documents" / code)]
    drops = rows_of(shards.path / "drops")
    return Outcome(
        {row.id: row for row in kept},
        {row["id"]: (row["filter"], row["reason"]) for row in drops},
    )


def either(outcome: Outcome, language: str, number: int, kind: str) -> tuple[str, str] | None:
    """The reason of whichever of a page and its copy was dropped; the other one is kept."""
    ids = [page(language, number).id, f"chromium-l10n/{language}/{kind}"]
    (kept,) = [each for each in ids if each in outcome.kept]
    (dropped,) = [each for each in ids if each in outcome.dropped]
    assert outcome.kept[kept].copies == 2
    return outcome.dropped[dropped]


@scripts
def test_opted_out_pages_are_dropped_and_others_kept(outcome: Outcome, language: str) -> None:
    assert outcome.reason(language, "opt-out") == ("opt-out", "id")
    assert outcome.reason(language, "opt-out-domain") == ("opt-out", "domain")
    assert outcome.reason(language, "other-domain") is None


@scripts
def test_a_page_of_nothing_but_an_address_is_empty_after_repair(
    outcome: Outcome, language: str
) -> None:
    assert outcome.reason(language, "empty") == ("repair", "empty")


@scripts
def test_one_of_two_equal_pages_is_dropped(outcome: Outcome, language: str) -> None:
    assert either(outcome, language, 0, "exact") == ("exact-duplicates", "duplicate")


@scripts
def test_one_of_two_nearly_equal_pages_is_dropped(outcome: Outcome, language: str) -> None:
    assert either(outcome, language, 1, "near") == ("near-duplicates", "near-duplicate")


@scripts
def test_pages_unlike_each_other_are_kept(outcome: Outcome, language: str) -> None:
    for number in range(2, NUM_PAGES):
        row = outcome.kept[page(language, number).id]
        assert row.copies == 1


@scripts
def test_a_line_of_six_pages_stays_in_one_and_their_other_lines_in_all(
    outcome: Outcome, language: str
) -> None:
    pages = [page(language, number) for number in range(4, 10)]
    texts = [outcome.kept[row.id].text for row in pages]
    assert sum(footer(language) in text for text in texts) == 1
    for row, text in zip(pages, texts, strict=True):
        assert text.split("\n")[0] == row.text.split("\n")[0]


@scripts
def test_a_leak_is_taken_out_of_its_page_and_a_page_of_it_alone_is_dropped(
    outcome: Outcome, language: str
) -> None:
    text = outcome.kept[f"chromium-l10n/{language}/leak"].text
    assert question(language) not in text
    assert text.split("\n")[-1] == page(language, 23).text.split("\n")[-1]
    assert outcome.reason(language, "only-leak") == ("decontaminate", "contaminated")
