"""Settings derived from trusted text pass text like it, and still no junk."""

from __future__ import annotations

import base64
import random
import tarfile
from typing import Any

import pytest

from polylm_core.characters import composed, from_strings
from polylm_core.errors import ParamsError, StageError, UnknownLanguageError
from polylm_core.identify_batch import load_identifier
from polylm_core.languages import get_language
from polylm_core.params import load_params
from polylm_core.stages.curate.calibrate import calibrate
from polylm_core.stages.curate.calibration import Calibration, Rate
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.identify import OTHER, verdicts
from polylm_core.stages.curate.repair import repair
from polylm_core.stages.curate.rules import judge_of
from polylm_core.stages.curate.rules_config import RulesConfig, RuleThresholds
from polylm_core.tokens import tokenise
from tests.architecture.closure import ROOT
from tests.unit.stages.curate_inputs import article_texts

FLORES = ROOT.parent / "shared" / "data" / "flores200" / "flores200_dev.tar.xz"
SENTENCES = 5
REAL = ("tha_Thai", "khm_Khmr", "amh_Ethi", "heb_Hebr", "jpn_Jpan")
BUDGET = 0.02
WORDS = [f"{a}{b}{c}" for a in ("ka", "lo", "mi", "su") for b in "aeiou" for c in ("n", "rt", "l")]


def config(**rules: Any) -> CurateConfig:
    """The default recipe's, with Gopher's thresholds but for the length."""
    made = load_params(ROOT / "params.yaml").curate
    return made.model_copy(
        update={"rules": RulesConfig.model_validate({"default": {"min_words": 5}, **rules})}
    )


def prose(number: int, *, digits: int = 0, words: int = 40) -> str:
    """Words of no language (Umbundu: one that lid.176 does not know), and some figures."""
    rng = random.Random(number)
    chosen = [rng.choice(WORDS) for _ in range(words)]
    figures = [str(rng.randrange(10_000, 99_999)) for _ in range(digits)]
    return " ".join(["the", "and", *chosen, *figures])


def derive(texts: list[str], budget: float = 0.05, **rules: Any) -> Calibration:
    return calibrate("umb_Latn", texts, config(**rules), load_identifier(), budget=budget)


def reject_reason(text: str, found: Calibration, language: str, rules: RulesConfig) -> str | None:
    """What drops a text with calibrated settings pasted into the recipe."""
    pasted = found.params()["curate"]["rules"]
    known = get_language(language)
    merged = {**rules.model_dump(), **pasted}
    judge = judge_of(known, RulesConfig.model_validate(merged))
    are_words = known.words == "spaces"
    texts, shares, _ = repair(
        from_strings(composed([text])), are_words=are_words, max_word_characters=1000
    )
    measures = judge.measures(texts, tokenise(texts, are_words=are_words), shares)
    (verdict,) = judge.verdicts(measures)
    return None if verdict < 0 else judge.reasons[verdict]


def flores(language: str) -> list[str]:
    """Documents of consecutive sentences."""
    with tarfile.open(FLORES) as archive:
        file = archive.extractfile(f"dev/{language}.dev")
        assert file is not None
        lines = file.read().decode().splitlines()
    last = len(lines) - SENTENCES + 1
    return ["\n".join(lines[at : at + SENTENCES]) for at in range(0, last, SENTENCES)]


def test_thresholds_that_reject_nothing_stay() -> None:
    found = derive([prose(number) for number in range(100)])

    assert found.thresholds == {}
    assert found.limits == RuleThresholds(min_words=5)
    assert found.together.seed_before == found.together.seed_after


def test_only_the_threshold_that_rejects_good_text_is_loosened_and_no_further_than_needed() -> None:
    figures = [prose(number, digits=number % 25) for number in range(300)]
    found = derive(figures)

    assert found.together.seed_before.share > 0.3
    assert found.together.seed_after.share <= 0.05
    assert set(found.thresholds) <= {"max_digit_share", "min_alphabetic_word_share"}
    assert 0.3 < found.thresholds["max_digit_share"] < 0.5
    low, _ = found.together.held_out_after.interval
    assert low <= 0.05
    (digits,) = [rule for rule in found.rules if rule.reason == "digits"]
    assert digits.setting == "max_digit_share"
    assert digits.before == 0.2
    assert digits.after == found.thresholds["max_digit_share"]
    assert digits.rates.held_out_before.share > digits.rates.held_out_after.share


def test_a_smaller_budget_is_looser() -> None:
    figures = [prose(number, digits=number % 25) for number in range(600)]

    strict, loose = derive(figures, 0.2), derive(figures, 0.01)
    assert strict.thresholds["max_digit_share"] < loose.thresholds["max_digit_share"]
    assert strict.together.seed_after.share > loose.together.seed_after.share


def test_nothing_becomes_stricter_than_the_recipe() -> None:
    loose = {"default": {"min_words": 1, "max_digit_share": 0.9, "max_top_ngram_share": {2: 0.9}}}
    found = derive([prose(number, digits=number % 25) for number in range(300)], **loose)

    assert found.limits.max_digit_share == 0.9
    assert found.limits.min_words == 1
    assert found.limits.max_top_ngram_share == {2: 0.9}
    assert found.limits.min_line_end_share == 0


def test_thresholds_of_an_earlier_calibration_are_forgotten_and_units_kept() -> None:
    earlier = {"by_language": {"umb_Latn": {"max_digit_share": 0.9, "short_line_characters": 12}}}
    found = derive([prose(number) for number in range(100)], **earlier)

    assert found.thresholds == {"short_line_characters": 12}


def test_the_order_of_documents_and_copies_of_them_change_nothing() -> None:
    texts = [prose(number, digits=number % 25) for number in range(200)]
    shuffled = [*texts, *texts[:50], " \n "]
    random.Random(7).shuffle(shuffled)

    assert derive(shuffled) == derive(texts)


def test_stop_words_are_the_usual_words_and_nearly_every_document_has_two() -> None:
    found = derive([prose(number) for number in range(100)])

    assert found.stop_words[:2] == ("and", "the")
    assert len(found.stop_words) == 8
    assert found.params()["curate"]["rules"]["stop_words"] == {"umb_Latn": list(found.stop_words)}
    none = " ".join(f"w{word}x" for word in WORDS[:40])
    rules = config().rules
    assert reject_reason(none, found, "umb_Latn", rules) == "few-stop-words"
    assert reject_reason(prose(3), found, "umb_Latn", rules) is None


def test_too_little_text_says_how_much_is_needed() -> None:
    with pytest.raises(StageError, match=r"40 documents that count .* needs about 125") as error:
        derive([prose(number) for number in range(40)], budget=0.01)

    assert "a budget of 0.0" in str(error.value)
    with pytest.raises(StageError, match="0 documents that count"):
        derive(["", "  "], budget=0.5)


def test_what_is_no_document_of_the_language_is_left_out_and_counted() -> None:
    good = [prose(number) for number in range(100)]
    headings = [f"heading {word}" for word in WORDS[:20]]
    russian = [f"{text} {number}" for number, text in enumerate(article_texts("rus_Cyrl", 20))]

    found = derive([*good, *headings, *russian])

    assert (found.too_short_documents, found.other_script_documents) == (20, 20)
    assert found.thresholds == {}
    assert found.together.seed_after.documents + found.together.held_out_after.documents == 100


def test_one_odd_document_turns_no_rule_off() -> None:
    odd = prose(-2).replace(" ", " #")
    found = derive([odd, *(prose(number, digits=number % 25) for number in range(400))])

    (symbols,) = [rule for rule in found.rules if rule.reason == "symbols"]
    assert symbols.rates.seed_before.rejected == 1
    assert "max_symbol_to_word_ratio" not in found.thresholds
    assert reject_reason(odd, found, "umb_Latn", config().rules) == "symbols"


def test_a_rule_that_is_turned_off_shows_the_document() -> None:
    listed = ["\n".join(f"- {line}" for line in prose(n).split(" ", 5)) for n in range(300)]
    found = derive(listed)

    (bullets,) = [rule for rule in found.rules if rule.turned_off_by]
    assert bullets.reason == "bullet-lines"
    assert bullets.turned_off_by in listed
    assert found.limits.max_bullet_line_share == 1


@pytest.mark.parametrize("budget", [0, -1, 0.51, 7])
def test_a_budget_that_is_no_share_is_refused(budget: float) -> None:
    with pytest.raises(ParamsError, match="budget"):
        derive([], budget=budget)


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(UnknownLanguageError, match="khm_Khmr"):
        calibrate("khm", [], config(), load_identifier())


def test_an_interval_of_a_rate_is_wilsons() -> None:
    assert Rate(0, 100).interval == pytest.approx((0, 0.0370), abs=1e-4)
    assert Rate(10, 100).interval == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert Rate(100, 100).interval == pytest.approx((0.9630, 1), abs=1e-4)


def test_the_confidence_is_loosened_where_the_classifier_is_unsure_of_good_text() -> None:
    lines = [line for text in article_texts("glg_Latn", 31) for line in text.split("\n")]
    documents = [line for line in lines if len(line) > 40]
    found = calibrate("glg_Latn", documents, config(), load_identifier(), budget=0.05)

    assert found.min_confidence is not None
    assert found.min_confidence < config().identify.min_confidence
    assert found.together.held_out_after.share < found.together.held_out_before.share
    assert found.params()["curate"]["identify"] == {
        "min_confidence_by_language": {"glg_Latn": found.min_confidence}
    }


def test_a_language_that_the_classifier_does_not_know_gets_no_confidence() -> None:
    found = derive([prose(number) for number in range(100)])

    assert found.min_confidence is None
    assert "identify" not in found.params()["curate"]
    assert found.fineweb2().language_score == 0


def test_settings_for_fineweb2_say_the_same() -> None:
    found = derive([prose(number, digits=number % 25) for number in range(300)])

    theirs = RuleThresholds.model_validate(
        {**RuleThresholds().model_dump(), **found.fineweb2().thresholds()}
    )
    assert theirs.min_alphabetic_word_share == found.limits.min_alphabetic_word_share
    assert theirs.max_duplicate_ngram_share == found.limits.max_duplicate_ngram_share
    assert found.fineweb2().stopwords == found.stop_words


@pytest.mark.skipif(not FLORES.is_file(), reason=f"needs {FLORES}")
@pytest.mark.parametrize("language", REAL)
def test_real_text_passes_what_was_derived_from_it_and_junk_does_not(language: str) -> None:
    recipe = config(default={}, by_language={"jpn_Jpan": {"characters_per_word": 3}})
    texts = flores(language)
    found = calibrate(language, texts, recipe, load_identifier(), budget=BUDGET)

    low, _ = found.together.held_out_after.interval
    assert found.together.seed_after.share <= BUDGET
    assert low <= BUDGET
    rules = recipe.rules
    line, second = texts[0].split("\n")[:2]
    rng = random.Random(1)
    noise = base64.b64encode(rng.randbytes(3000)).decode()
    coded = " ".join(noise[at : at + 76] for at in range(0, len(noise), 76))
    numbers = "\n".join(f"{rng.randrange(10**6)} {rng.random():.4f}" for _ in range(200))
    other = "\n".join(article_texts("rus_Cyrl")[:6])
    junk = {
        "repeated-lines": "\n".join([line, second] * 10 + texts[1].split("\n")),
        "duplicate-5-grams": " ".join(texts[:3] * 4).replace("\n", " "),
    }
    for reason, text in junk.items():
        assert reject_reason(text, found, language, rules) == reason
    # Where words are counted, the first rule that fits is about words.
    are_words = get_language(language).words == "spaces"
    long_words = "long-words" if are_words else "other-script"
    assert reject_reason(coded, found, language, rules) == long_words
    no_letters = "few-words-of-letters" if are_words else "digits"
    assert reject_reason(numbers, found, language, rules) == no_letters
    stop_words = "few-stop-words" if are_words else "other-script"
    assert reject_reason(other, found, language, rules) == stop_words
    identify = recipe.identify.model_copy(
        update={"min_confidence_by_language": {language: found.min_confidence}}
    )
    assert verdicts(from_strings([other]), language, load_identifier(), identify) == [OTHER]
