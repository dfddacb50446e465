"""The filters of `curate`, one by one, on text in several scripts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from polylm_core.languages import get_language
from polylm_core.records import Document
from polylm_core.stages.curate.config import (
    DecontaminateConfig,
    HeldOutConfig,
    IdentifyConfig,
    NearDuplicatesConfig,
    RulesConfig,
    RuleThresholds,
)
from polylm_core.stages.curate.duplicates import drop_exact, drop_near
from polylm_core.stages.curate.held_out import build_index, document_key, is_held_out
from polylm_core.stages.curate.identify import identify
from polylm_core.stages.curate.ledger import Ledger
from polylm_core.stages.curate.ngrams import Tokens, duplicate_run_share, runs, top_run_share
from polylm_core.stages.curate.normalise import Prepared, normalise, normalise_line
from polylm_core.stages.curate.rules import apply_rules

ENGLISH = (
    "All human beings are born free and equal in dignity and rights. They are endowed with reason "
    "and conscience and should act towards one another in a spirit of brotherhood."
)
GERMAN = (
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und "
    "Gewissen begabt und sollen einander im Geist der Brüderlichkeit begegnen."
)
THAI = (
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม "
    "และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ"
)
CHINESE = "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。"
JAPANESE = (
    "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。"
    "人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければならない。"
)
ARABIC = (
    "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميراً "
    "وعليهم أن يعامل بعضهم بعضاً بروح الإخاء."
)
TEXTS = {
    "eng_Latn": ENGLISH,
    "deu_Latn": GERMAN,
    "tha_Thai": THAI,
    "zho_Hans": CHINESE,
    "jpn_Jpan": JAPANESE,
    "arb_Arab": ARABIC,
}
IDENTIFY = IdentifyConfig(
    sample_characters=1000, min_confidence=0.5, pair_min_confidence=0.05, pair_min_characters=40
)
THRESHOLDS = RuleThresholds(min_words=10)


def document(text: str, language: str = "eng_Latn", key: str = "a") -> Document:
    return Document(f"books/{language}/{key}", text, language, "books", "MIT")


def prepare(text: str, language: str = "eng_Latn", key: str = "a") -> Prepared:
    return Prepared(document(text, language, key), 0.0, 0.0)


def repair(
    text: str, *, has_spaces: bool = True, english: tuple[str, ...] = ()
) -> tuple[list[str], list[str]]:
    """Lines kept, and reasons of the lines dropped."""
    ledger = Ledger("deu_Latn")
    kept = normalise(
        [document(text)],
        ledger,
        has_spaces=has_spaces,
        max_word_characters=50,
        english_lines=english,
    )
    return [line for each in kept for line in each.lines], [row.reason for row in ledger.drops]


def objection(text: str, language: str = "eng_Latn", **limits: Any) -> str | None:
    config = RulesConfig(
        default=RuleThresholds(**{"min_words": 10, **limits}),
        stop_words={"eng_Latn": ("the", "and", "of", "in")},
    )
    ledger = Ledger(language)
    registered = get_language(language)
    kept = apply_rules(
        [prepare(text, language)], ledger, registered, Tokens(registered.words), config
    )
    assert len(kept) + len(ledger.drops) == 1
    return ledger.drops[0].reason if ledger.drops else None


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("e\u0301te\u0301", "été"),
        ("  two\u00a0\t spaces\u3000", "two spaces"),
        (
            "soft\u00adhyphen, \u200bzero, \ufeffmark, \u202eturned",
            "softhyphen, zero, mark, turned",
        ),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("bell\x07", "bell"),
    ],
)
def test_a_line_gets_one_form(raw: str, clean: str) -> None:
    assert normalise_line(raw) == clean


def test_a_line_is_kept_once_and_the_rest_is_counted() -> None:
    assert repair("Eins\nZwei\nEins \n\nDrei") == (["Eins", "Zwei", "Drei"], ["repeated-line"])


def test_what_is_no_word_is_cut_out_of_its_line() -> None:
    assert repair(f"vorn {'A' * 51} hinten") == (["vorn hinten"], ["overlong-word"])
    assert repair("A" * 50) == (["A" * 50], [])


def test_a_paragraph_without_spaces_is_not_an_overlong_word() -> None:
    assert repair(CHINESE * 3, has_spaces=False)[0] == [CHINESE * 3]
    assert repair(f"人人{'A' * 51}", has_spaces=False) == (["人人"], ["overlong-word"])


def test_urls_and_untranslated_lines_are_dropped() -> None:
    kept, reasons = repair("https://example.org/a\nText\nClick here", english=("Click here",))
    assert kept == ["Text"]
    assert reasons == ["url-only", "copy-of-english"]


@pytest.mark.parametrize("language", TEXTS)
def test_a_text_is_identified_as_its_own_language_and_as_no_other(language: str) -> None:
    for claimed in TEXTS:
        ledger = Ledger(claimed)
        kept = identify([prepare(TEXTS[language], claimed)], ledger, claimed, IDENTIFY)
        assert bool(kept) == (claimed == language)
        assert [row.reason for row in ledger.drops] == ([] if kept else ["other-language"])


def test_a_declared_relative_counts_for_a_language() -> None:
    with_german = IDENTIFY.model_copy(update={"also_accepted": {"nld_Latn": ("deu_Latn",)}})
    text = [prepare(GERMAN, "nld_Latn")]
    assert identify(text, Ledger("nld_Latn"), "nld_Latn", IDENTIFY) == []
    assert identify(text, Ledger("nld_Latn"), "nld_Latn", with_german) == text


def test_a_language_the_model_does_not_know_is_not_judged() -> None:
    text = [prepare(GERMAN, "umb_Latn")]
    assert identify(text, Ledger("umb_Latn"), "umb_Latn", IDENTIFY) == text


@pytest.mark.parametrize("language", TEXTS)
def test_the_rules_let_prose_pass_in_every_script(language: str) -> None:
    assert objection(TEXTS[language], language) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The end of it.", "too-short"),
        (f"{ENGLISH} {'a b c d e f ' * 40}", "short-words"),
        (" ".join(f"{word}{'x' * 9}" for word in ENGLISH.split()), "long-words"),
        (f"{ENGLISH} {'1234 ' * 12}", "few-alphabetic-words"),
        (" ".join(f"word{number}" for number in range(100, 130)), "few-stop-words"),
        (f"{ENGLISH} # # # # #", "symbols"),
        ("the and of in " + " ".join(f"h{n}o" for n in range(10_000, 10_030)), "digits"),
        (f"the and {ARABIC}", "other-script"),
        (
            "\n".join(
                f"- {word} means something and nothing of importance"
                for word in ENGLISH.split()[:9]
            ),
            "bullet-lines",
        ),
        (f"{ENGLISH}\nThe first one ...\nAnd the other...", "ellipsis-lines"),
        ("the cat and " * 6 + ENGLISH, "top-3-gram"),
        (f"{ENGLISH} {ENGLISH}", "duplicate-5-grams"),
    ],
)
def test_each_rule_gives_its_reason(text: str, reason: str) -> None:
    limits: dict[str, Any] = {"max_top_ngram_share": {3: 0.18}, "max_symbol_to_word_ratio": 0.12}
    assert objection(text, **limits) == reason


def test_repetition_is_found_in_scripts_without_spaces() -> None:
    twice = objection(CHINESE * 2, "zho_Hans", max_top_ngram_share={})
    assert twice == "duplicate-5-grams"
    assert objection("ฮ่า" * 60, "tha_Thai") == "top-2-gram"


def test_a_single_language_can_have_its_own_thresholds() -> None:
    config = RulesConfig(default=THRESHOLDS, by_language={"kor_Hang": {"min_words": 3}})
    assert config.for_language("kor_Hang").min_words == 3
    assert config.for_language("deu_Latn").min_words == 10


def test_an_override_that_is_no_threshold_is_refused() -> None:
    with pytest.raises(ValidationError, match="min_wrods"):
        RulesConfig(default=THRESHOLDS, by_language={"kor_Hang": {"min_wrods": 3}})


def test_runs_of_tokens_are_counted_in_characters() -> None:
    tokens = Tokens("spaces")
    words = "a bb a bb ccc".split()
    hashes, lengths = tokens.hash(words), np.array([len(word) for word in words])
    assert len(runs(hashes, 2)) == 4
    assert len(set(runs(hashes, 2).tolist())) == 3
    assert top_run_share(hashes, lengths, 2) == pytest.approx(2 * 3 / 9)
    assert duplicate_run_share(hashes, lengths, 2) == pytest.approx(3 / 9)
    assert duplicate_run_share(hashes, lengths, 3) == 0
    assert len(runs(hashes, 6)) == 0


def test_overlapping_repetitions_count_once() -> None:
    hashes = Tokens("none").hash(list("aaaaaa"))
    assert duplicate_run_share(hashes, np.ones(6, np.int64), 2) == pytest.approx(5 / 6)


def test_the_smallest_id_of_equal_texts_stays_in_any_order() -> None:
    items = [("c", "x"), ("a", "x"), ("b", "y")]
    for order in (items, items[::-1]):
        ledger = Ledger("eng_Latn")
        kept = drop_exact(
            order, ledger, kind="documents", id_of=lambda i: i[0], text_of=lambda i: i[1]
        )
        assert sorted(kept) == [("a", "x"), ("b", "y")]
        assert [row.id for row in ledger.drops] == ["c"]


@pytest.mark.parametrize("language", ["eng_Latn", "zho_Hans"])
def test_near_duplicates_leave_the_smallest_id_in_any_order(language: str) -> None:
    tokens = Tokens(get_language(language).words)
    text = " ".join(f"{number}" for number in range(200))
    documents = [
        prepare(f"{text} end", language, "c"),
        prepare(text, language, "a"),
        prepare(f"start {text}", language, "b"),
        prepare(TEXTS[language], language, "d"),
    ]
    config = NearDuplicatesConfig(min_jaccard=0.8)
    for order in (documents, documents[::-1]):
        kept = drop_near(order, Ledger(language), tokens, config)
        assert sorted(each.document.id[-1] for each in kept) == ["a", "d"]


def test_half_equal_texts_are_not_near_duplicates() -> None:
    half = [f"{number}" for number in range(200)]
    documents = [
        prepare(" ".join(half), key="a"),
        prepare(" ".join(half[:100] + [f"x{number}" for number in range(100)]), key="b"),
    ]
    config = NearDuplicatesConfig(min_jaccard=0.8)
    assert drop_near(documents, Ledger("eng_Latn"), Tokens("spaces"), config) == documents


def test_a_document_and_its_pairs_have_one_key() -> None:
    assert document_key("help/deu_Latn/calc/01/sum") == "help/calc/01/sum"
    assert document_key("help/eng_Latn-deu_Latn/calc/01/sum#12") == "help/calc/01/sum"


def test_about_the_share_is_held_out_and_growing_it_only_adds() -> None:
    ids = [f"help/deu_Latn/{number}" for number in range(2000)]

    def chosen(share: float) -> set[str]:
        return {
            each for each in ids if is_held_out(each, 7, HeldOutConfig(share=share, min_bytes=0))
        }

    assert 140 < len(chosen(0.1)) < 260
    assert chosen(0.1) < chosen(0.2)


@pytest.mark.parametrize(
    ("language", "held", "line", "found"),
    [
        ("eng_Latn", ENGLISH, f"As we read: {ENGLISH.upper()}", True),
        ("eng_Latn", ENGLISH, " ".join(ENGLISH.split()[:12]), False),
        ("eng_Latn", ENGLISH, " ".join(ENGLISH.split()[:13]), True),
        ("eng_Latn", "See also", "see also:", True),
        ("eng_Latn", "See also", "See also the index", False),
        ("eng_Latn", "***", "---", False),
        ("zho_Hans", CHINESE, f"常言道{CHINESE}", True),
        ("zho_Hans", CHINESE, CHINESE[:20], False),
        ("tha_Thai", THAI, f"ว่า{THAI[:45]}", True),
    ],
)
def test_contamination_is_a_long_run_or_a_whole_short_line(
    language: str, held: str, line: str, found: bool
) -> None:
    index = build_index(language, [held], DecontaminateConfig())
    assert index.contaminated(["", line, "x"]) == [False, found, False]


def test_a_run_across_two_lines_is_no_contamination() -> None:
    words = ENGLISH.split()
    index = build_index("eng_Latn", [ENGLISH], DecontaminateConfig())
    assert index.contaminated([" ".join(words[:7]), " ".join(words[7:15])]) == [False, False]
