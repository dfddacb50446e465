"""The filters of `curate`, one by one, on text in several scripts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from polylm_core.characters import composed, from_strings
from polylm_core.contamination import build_index
from polylm_core.identify_batch import load_identifier
from polylm_core.languages import get_language
from polylm_core.stages.curate import identify
from polylm_core.stages.curate.config import (
    DecontaminateConfig,
    ForeignLinesConfig,
    HeldOutConfig,
    IdentifyConfig,
)
from polylm_core.stages.curate.held_out import document_key, is_held_out
from polylm_core.stages.curate.identify import foreign_lines, verdicts
from polylm_core.stages.curate.lines import Lines
from polylm_core.stages.curate.repair import repair
from polylm_core.stages.curate.rules import judge_of
from polylm_core.stages.curate.rules_config import RulesConfig, RuleThresholds
from polylm_core.tokens import tokenise
from tests.unit.stages.curate_inputs import article_texts

RUNS = DecontaminateConfig().model_dump()
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


def repaired(text: str, *, are_words: bool = True) -> str:
    made = repair(from_strings(composed([text])), are_words=are_words, max_word_characters=50)
    return made.texts.text(0)


def objection(text: str, language: str = "eng_Latn", **limits: Any) -> str | None:
    """The reason of the first rule that objects to a text."""
    config = RulesConfig(
        default=RuleThresholds(**{"min_words": 10, **limits}),
        stop_words={"eng_Latn": ("the", "and", "of", "in")},
    )
    judge = judge_of(get_language(language), config)
    are_words = get_language(language).words == "spaces"
    texts, shares, _ = repair(
        from_strings(composed([text])), are_words=are_words, max_word_characters=1000
    )
    (verdict,) = judge.verdicts(judge.measures(texts, tokenise(texts, are_words=are_words), shares))
    return None if verdict < 0 else judge.reasons[verdict]


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
        ("Eins\nZwei\nEins \n\nDrei", "Eins\nZwei\nDrei"),
        (f"vorn {'A' * 51} hinten", "vorn hinten"),
        ("A" * 50, "A" * 50),
        ("https://example.org/a\nText", "Text"),
    ],
)
def test_a_text_gets_one_form(raw: str, clean: str) -> None:
    assert repaired(raw) == clean


def test_a_paragraph_without_spaces_is_not_an_overlong_word() -> None:
    assert repaired(CHINESE * 3, are_words=False) == CHINESE * 3
    assert repaired(f"人人{'A' * 51}", are_words=False) == "人人"


@pytest.mark.parametrize("language", TEXTS)
def test_a_text_is_identified_as_its_own_language_and_as_no_other(language: str) -> None:
    texts, identifier = from_strings([TEXTS[language]]), load_identifier()
    for claimed in TEXTS:
        (verdict,) = verdicts(texts, claimed, identifier, IDENTIFY)
        assert (verdict < 0) == (claimed == language)
        assert verdict in (-1, identify.OTHER)


def test_a_declared_relative_counts_for_a_language() -> None:
    texts, identifier = from_strings([GERMAN]), load_identifier()
    with_german = IDENTIFY.model_copy(update={"also_accepted": {"nld_Latn": ("deu_Latn",)}})
    assert verdicts(texts, "nld_Latn", identifier, IDENTIFY) == [identify.OTHER]
    assert verdicts(texts, "nld_Latn", identifier, with_german) == [-1]


def test_a_cousin_is_told_apart_by_a_second_look() -> None:
    texts, identifier = from_strings([article_texts("glg_Latn")[2]]), load_identifier()
    loose = IDENTIFY.model_copy(update={"also_accepted": {"por_Latn": ("glg_Latn",)}})
    strict = loose.model_copy(update={"cousins": {"por_Latn": ("glg_Latn",)}})
    assert verdicts(texts, "por_Latn", identifier, loose) == [-1]
    assert verdicts(texts, "por_Latn", identifier, strict) == [identify.COUSIN]
    own = from_strings([article_texts("por_Latn")[2]])
    assert verdicts(own, "por_Latn", identifier, strict) == [-1]


def test_a_language_the_model_does_not_know_is_not_judged() -> None:
    assert verdicts(from_strings([GERMAN]), "umb_Latn", load_identifier(), IDENTIFY) == [-1]


def test_lines_in_another_language_are_found_and_short_ones_spared() -> None:
    lines = Lines(from_strings([f"{GERMAN}\n{ENGLISH}\nOK then\n{JAPANESE}"]))
    config = IDENTIFY.model_copy(update={"foreign_lines": ForeignLinesConfig(min_letters=30)})
    flags = foreign_lines(lines, "deu_Latn", load_identifier(), config)
    assert flags.tolist() == [False, True, False, True]


@pytest.mark.parametrize("language", TEXTS)
def test_the_rules_let_prose_pass_in_every_script(language: str) -> None:
    assert objection(TEXTS[language], language) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The end of it.", "too-short"),
        (f"{ENGLISH} {'a b c d e f ' * 40}", "short-words"),
        (" ".join(f"{word}{'x' * 9}" for word in ENGLISH.split()), "long-words"),
        (f"{ENGLISH} {'1234 ' * 12}", "few-words-of-letters"),
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
        ("tur_Latn", "Hiç kimse ışık ve iyi söz", "HİÇ KIMSE IŞIK VE İYI SÖZ", True),
        ("deu_Latn", "Die große Straße", "DIE GROSSE STRASSE", True),
        ("ell_Grek", "Όλοι οι άνθρωποι", "ΌΛΟΙ ΟΙ ΆΝΘΡΩΠΟΙ", True),
        ("arb_Arab", "الكرامة، والحقوق", "الكرامة والحقوق؟", True),
        ("hin_Deva", "सभी मनुष्य स्वतन्त्र।", "सभी मनुष्य, स्वतन्त्र", True),
    ],
)
def test_contamination_is_a_long_run_or_a_whole_short_line(
    language: str, held: str, line: str, found: bool
) -> None:
    index = build_index(language, [from_strings([held])], **RUNS)
    assert index.contaminated(from_strings([f"x\n{line}\ny"])).tolist() == [False, found, False]


def test_a_run_across_two_lines_is_no_contamination() -> None:
    words = ENGLISH.split()
    index = build_index("eng_Latn", [from_strings([ENGLISH])], **RUNS)
    lines = from_strings([f"{' '.join(words[:7])}\n{' '.join(words[7:15])}"])
    assert index.contaminated(lines).tolist() == [False, False]
