"""Each filter on a real document it keeps and on one it drops, in eight scripts, with the reason.

Documents are articles of the Universal Declaration; those that are dropped are spoilt in a stated
way.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from polylm_core.characters import composed, from_strings
from polylm_core.identify_batch import load_identifier
from polylm_core.languages import get_language
from polylm_core.stages.curate import identify
from polylm_core.stages.curate.config import CurateConfig, ForeignLinesConfig, IdentifyConfig
from polylm_core.stages.curate.lines import Lines
from polylm_core.stages.curate.repair import REASONS, repair
from polylm_core.stages.curate.rules import judge_of
from polylm_core.stages.curate.rules_config import RulesConfig, RuleThresholds
from polylm_core.tokens import tokenise
from tests.unit.stages.curate_inputs import article_texts
from tests.unit.stages.curate_real import RECIPE, SCRIPTS, letters
from tests.unit.stages.curate_reference import wording

CONFIG = CurateConfig.model_validate(RECIPE["curate"])
FOREIGN = {code: "rus_Cyrl" if code != "rus_Cyrl" else "ell_Grek" for code in SCRIPTS.values()}
"""A language of another script."""
COUSINS = {
    "deu_Latn": "ltz_Latn",
    "rus_Cyrl": "bel_Cyrl",
    "arb_Arab": "pes_Arab",
    "heb_Hebr": "ydd_Hebr",
    "tha_Thai": "lao_Laoo",
    "zho_Hans": "jpn_Jpan",
    "jpn_Jpan": "zho_Hans",
    "kor_Hang": "jpn_Jpan",
}
"""A language of the same or a near script."""

scripts = pytest.mark.parametrize("language", SCRIPTS.values(), ids=SCRIPTS.keys())


@functools.cache
def prose(language: str) -> str:
    """Eight articles, a paragraph a line, each line once and long enough to be a sentence."""
    lines = [line for text in article_texts(language)[2:10] for line in text.split("\n")]
    return "\n".join(dict.fromkeys(line for line in lines if letters(line) >= 20))


def has_words(language: str) -> bool:
    return get_language(language).words == "spaces"


def pieces(text: str, language: str) -> list[str]:
    """The words of a line, or where no spaces stand between them runs of four characters."""
    if has_words(language):
        return text.split()
    return re.findall(r".{1,4}", "".join(text.split()))


def spoil(text: str, language: str, change: Callable[[str], str], every: int = 1) -> str:
    """The text with each piece changed that is the nth of its line."""
    joint = " " if has_words(language) else ""
    return "\n".join(
        joint.join(
            change(piece) if number % every == 0 else piece
            for number, piece in enumerate(pieces(line, language))
        )
        for line in text.split("\n")
    )


def limits_of(language: str, **limits: Any) -> RulesConfig:
    """The recipe's thresholds, with others for some rules."""
    default = CONFIG.rules.default.model_copy(update=limits)
    return RulesConfig(
        default=RuleThresholds.model_validate(default.model_dump()),
        by_language={
            language: {
                name: value
                for name, value in CONFIG.rules.by_language.get(language, {}).items()
                if name not in limits
            }
        },
        stop_words={language: stop_words(language)} if "min_stop_words" in limits else {},
    )


@functools.cache
def stop_words(language: str) -> tuple[str, ...]:
    """The most frequent words of the Declaration."""
    words = Counter(" ".join(article_texts(language, 40)).split())
    return tuple(word for word, _ in words.most_common(8))


def objection(text: str, language: str, **limits: Any) -> str | None:
    """The reason of the first rule that objects to a document."""
    judge = judge_of(get_language(language), limits_of(language, **limits))
    are_words = has_words(language)
    texts, shares, _ = repair(
        from_strings(composed([text])), are_words=are_words, max_word_characters=1000
    )
    (verdict,) = judge.verdicts(judge.measures(texts, tokenise(texts, are_words=are_words), shares))
    return None if verdict < 0 else judge.reasons[verdict]


@dataclass(frozen=True)
class Spoilt:
    """How a document is spoilt, and the rule that must object."""

    reason: str
    how: Callable[[str, str], str]
    """From the document and its language."""
    limits: dict[str, Any] = field(default_factory=dict)
    """Other thresholds than the recipe's, for the document that is kept as well."""
    words_only: bool = False
    """Not asked in languages without spaces between words."""


def first_words(text: str, language: str) -> str:
    return (" " if has_words(language) else "").join(pieces(text, language)[:4])


def without_stop_words(text: str, language: str) -> str:
    asked = {wording(word) for word in stop_words(language)}
    return " ".join(word for word in text.split() if wording(word) not in asked)


def foreign_part(text: str, language: str) -> str:
    """The document with twice as much in another script after it."""
    return "\n".join([text, *article_texts(FOREIGN[language], 33)])[: 4 * len(text)]


def paragraphs_again(text: str, language: str) -> str:
    """Two short paragraphs said twice, between them all the others as one."""
    head, tail = first_words(text, language), first_words(text.split("\n")[-1], language)
    cut = "\n".join(pieces_of_lines(text, language))
    return f"{head}\n\n{tail}\n\n{cut}\n\n{head}\n\n{tail}"


def pieces_of_lines(text: str, language: str) -> list[str]:
    """The lines in halves: more of them."""
    halves = []
    for line in text.split("\n"):
        words = line.split() if has_words(language) else list(line)
        joint = " " if has_words(language) else ""
        middle = len(words) // 2
        halves += [joint.join(words[:middle]), joint.join(words[middle:])]
    return halves


def bare(line: str) -> str:
    """A line without the marks at its end."""
    return re.sub(r"[^\w]+$", "", line)


def longest_again(text: str, language: str) -> str:
    *others, longest = sorted(text.split("\n"), key=len)
    return "\n".join([*others[:4], longest, longest])


def phrase_again(size: int) -> Callable[[str, str], str]:
    """Words of the usual length (or fours of characters) said over and over."""

    def spoil(text: str, language: str) -> str:
        words = sorted(set(pieces(text.replace("\n", " "), language)), key=len)
        joint = " " if has_words(language) else ""
        middle = len(words) // 2
        return joint.join([text.split("\n")[0], *(words[middle : middle + size] * 60)])

    return spoil


def said_twice(text: str, language: str) -> str:
    """All in one line, and again."""
    joint = " " if has_words(language) else ""
    return joint.join([*text.split("\n"), *text.split("\n")])


def in_lines_of(size: int) -> Callable[[str, str], str]:
    def spoil(text: str, language: str) -> str:
        words = pieces(text.replace("\n", " "), language)
        joint = " " if has_words(language) else ""
        return "\n".join(joint.join(words[i : i + size]) for i in range(0, len(words), size))

    return spoil


NO_REPETITION: dict[str, Any] = {"max_top_ngram_share": {}, "max_duplicate_ngram_share": {}}
RULES = (
    Spoilt("too-short", first_words),
    Spoilt("too-long", lambda _, code: "\n".join(article_texts(code, 33)), {"max_words": 900}),
    Spoilt(
        "short-words", lambda text, code: spoil(text, code, lambda word: word[:1]), words_only=True
    ),
    Spoilt(
        "long-words",
        lambda text, _: re.sub(r"(\S+) (\S+) (\S+) (\S+)", r"\1\2\3\4", text),
        words_only=True,
    ),
    Spoilt(
        "few-words-of-letters",
        lambda text, code: spoil(text, code, lambda _: "1234", every=3),
        words_only=True,
    ),
    Spoilt("few-stop-words", without_stop_words, {"min_stop_words": 2}, words_only=True),
    Spoilt("symbols", lambda text, code: spoil(text, code, lambda each: f"#{each}", every=3)),
    Spoilt("symbols", lambda text, code: spoil(text, code, lambda each: f"{each}…", every=3)),
    Spoilt(
        "digits",
        lambda text, code: spoil(text, code, lambda each: f"{each}123"),
        {"max_mean_word_characters": 20},
    ),
    Spoilt("other-script", foreign_part),
    Spoilt("bullet-lines", lambda text, _: re.sub("^", "•", text, flags=re.MULTILINE)),
    Spoilt("ellipsis-lines", lambda text, _: re.sub(".$", "…", text, flags=re.MULTILINE)),
    Spoilt("repeated-lines", lambda text, _: f"{text}\n{text}"),
    Spoilt("repeated-line-characters", longest_again, NO_REPETITION),
    Spoilt("repeated-paragraphs", paragraphs_again, NO_REPETITION),
    Spoilt(
        "repeated-paragraph-characters",
        lambda text, _: "\n\n".join([text, text.replace("\n", "\n\n"), text]),
        {
            "max_repeated_line_share": 1,
            "max_repeated_line_character_share": 1,
            "max_repeated_paragraph_share": 1,
        },
    ),
    *(
        Spoilt(
            f"top-{n}-gram",
            phrase_again(n),
            {"max_top_ngram_share": {n: limit}, "max_duplicate_ngram_share": {}},
        )
        for n, limit in ((2, 0.20), (3, 0.18), (4, 0.16))
    ),
    *(
        Spoilt(
            f"duplicate-{n}-grams",
            said_twice,
            {"max_duplicate_ngram_share": {n: 0.2 - n / 100}},
        )
        for n in range(5, 11)
    ),
    Spoilt(
        "unended-lines",
        lambda text, code: "\n".join([*map(bare, pieces_of_lines(text, code)), "2."]),
        {"min_line_end_share": 0.12, "allow_no_line_end": True},
    ),
    Spoilt("short-lines", in_lines_of(3), {"max_short_line_share": 0.67}),
    Spoilt(
        "list",
        lambda text, code: in_lines_of(2 if has_words(code) else 1)(text, code),
        {"max_new_line_ratio": 0.3},
    ),
)


def names(spoilt: Spoilt) -> str:
    return spoilt.reason


@scripts
@pytest.mark.parametrize("spoilt", RULES, ids=names)
def test_each_rule_keeps_prose_and_drops_what_is_spoilt(spoilt: Spoilt, language: str) -> None:
    kept = prose(language)
    assert objection(kept, language, **spoilt.limits) is None
    if spoilt.words_only and not has_words(language):
        asked = judge_of(get_language(language), limits_of(language, **spoilt.limits)).reasons
        assert spoilt.reason not in asked
    else:
        dropped = spoilt.how(kept, language)
        assert objection(dropped, language, **spoilt.limits) == spoilt.reason


def test_every_rule_is_among_the_spoilt() -> None:
    judge = judge_of(get_language("deu_Latn"), limits_of("deu_Latn", min_stop_words=2))
    assert {spoilt.reason for spoilt in RULES} == set(judge.reasons)


@scripts
def test_repair_takes_out_what_is_no_prose_and_nothing_else(language: str) -> None:
    first, second, *rest = prose(language).split("\n")
    english = prose("eng_Latn").split("\n")[0]
    joint = " " if has_words(language) else ""
    spoilt = [
        first,
        joint.join([second, "QUJD" * 20, second]),
        first,
        "https://www.example.org/" + "a" * 20,
        english,
        *rest,
    ]
    known = from_strings([english])
    found = repair(
        from_strings(["\n".join(spoilt), prose(language)]),
        are_words=has_words(language),
        max_word_characters=50,
        english_lines=Lines(known).hashes,
        min_copied_letters=20,
    )
    reasons = [(document, REASONS[reason]) for document, reason, *_ in found.left_out]
    assert reasons == [
        (0, "overlong-word"),
        (0, "repeated-line"),
        (0, "url-only"),
        (0, "copy-of-english"),
    ]
    mended = " ".join([second, second])
    assert found.texts.text(0) == "\n".join([first, mended, *rest])
    assert found.texts.text(1) == prose(language)


def verdict(text: str, claimed: str, config: IdentifyConfig = CONFIG.identify) -> str | None:
    (found,) = identify.verdicts(from_strings([text]), claimed, load_identifier(), config)
    return None if found < 0 else identify.REASONS[found]


@scripts
def test_a_document_is_kept_as_its_own_language_and_dropped_as_another(language: str) -> None:
    assert verdict(prose(language), language) is None
    for other in SCRIPTS.values():
        if other != language:
            assert verdict(prose(language), other) == "other-language"


@scripts
def test_a_document_of_two_languages_is_unsure(language: str) -> None:
    """From all in its own language to all in another, some mixture lies between the thresholds."""
    own, foreign = prose(language), prose(FOREIGN[language])
    length = CONFIG.identify.sample_characters
    seen = [
        verdict(own[:size] + "\n" + foreign[: length - size], language)
        for size in range(0, length, 5)
    ]
    assert {"other-language", "unsure-language", None} <= set(seen)


@scripts
def test_a_document_in_a_cousin_is_told_apart(language: str) -> None:
    cousin = COUSINS[language]
    config = CONFIG.identify.model_copy(
        update={"also_accepted": {language: (cousin,)}, "cousins": {language: (cousin,)}}
    )
    assert verdict(prose(language), language, config) is None
    assert verdict(prose(cousin), language, config) == "cousin-language"


@scripts
def test_a_line_in_another_language_is_foreign_and_no_own_line_is(language: str) -> None:
    foreign = max(prose(FOREIGN[language]).split("\n"), key=letters)
    own = prose(language).split("\n")
    lines = Lines(from_strings(["\n".join([*own[:2], foreign, *own[2:]])]))
    config = CONFIG.identify.model_copy(
        update={"foreign_lines": ForeignLinesConfig(min_letters=30)}
    )
    flags = identify.foreign_lines(lines, language, load_identifier(), config)
    assert [number for number, flag in enumerate(flags) if flag] == [2]
