"""What the filters take of clean text: FLORES-200 dev, ten consecutive sentences a document.

FLORES is an evaluation set: it is read where it lies and never copied into the checkout.
"""

from __future__ import annotations

import functools
import tarfile
from collections import Counter

import pytest

from polylm_core.characters import Texts, composed, from_strings
from polylm_core.identify_batch import load_identifier
from polylm_core.languages import get_language
from polylm_core.stages.curate import identify
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.repair import repair
from polylm_core.stages.curate.rules import judge_of
from polylm_core.stages.curate.rules_config import RulesConfig, RuleThresholds
from polylm_core.tokens import tokenise
from tests.unit.stages.curate_real import LANGUAGES, RECIPE, ROOT

FLORES = ROOT.parent / "shared/data/flores200/flores200_dev.tar.xz"
SENTENCES = 10
MAX_REJECTED_SHARE = 0.02
CONFIG = CurateConfig.model_validate(RECIPE["curate"])
GOPHER = RulesConfig(
    default=RuleThresholds(),
    by_language=CONFIG.rules.by_language,
    stop_words=CONFIG.rules.stop_words,
)
"""The paper's thresholds, with what the recipe says of single languages."""

pytestmark = pytest.mark.skipif(
    not FLORES.is_file(), reason=f"needs FLORES-200 dev, which is not at {FLORES}"
)


@functools.cache
def _sentences() -> dict[str, list[str]]:
    with tarfile.open(FLORES) as archive:
        return {
            member.name.removeprefix("dev/").removesuffix(".dev"): file.read().decode().splitlines()
            for member in archive
            if member.name.endswith(".dev") and (file := archive.extractfile(member))
        }


def documents(language: str) -> Texts:
    """Ten consecutive sentences a document, a sentence a line, none used twice."""
    rows = _sentences()[language]
    firsts = range(0, len(rows) - SENTENCES + 1, SENTENCES)
    return from_strings(composed(["\n".join(rows[i : i + SENTENCES]) for i in firsts]))


def objections(language: str, rules: RulesConfig) -> Counter[str]:
    """How many documents each reason takes; those that pass are under the empty one."""
    are_words = get_language(language).words == "spaces"
    repaired = repair(
        documents(language), are_words=are_words, max_word_characters=CONFIG.max_word_characters
    )
    judge = judge_of(get_language(language), rules)
    tokens = tokenise(repaired.texts, are_words=are_words)
    verdicts = judge.verdicts(judge.measures(repaired.texts, tokens, repaired.shares))
    return Counter(judge.reasons[verdict] if verdict >= 0 else "" for verdict in verdicts)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("rules", [CONFIG.rules, GOPHER], ids=["recipe", "gopher"])
def test_the_rules_reject_at_most_two_percent_of_clean_text(
    language: str, rules: RulesConfig
) -> None:
    found = objections(language, rules)
    assert found.total() == 99
    assert 1 - found[""] / found.total() <= MAX_REJECTED_SHARE, found


@pytest.mark.parametrize("language", LANGUAGES)
def test_identification_rejects_no_clean_text(language: str) -> None:
    found = identify.verdicts(documents(language), language, load_identifier(), CONFIG.identify)
    assert (found < 0).all(), Counter(found.tolist())


def test_clean_text_in_another_language_is_rejected_by_identification() -> None:
    """Otherwise the test above would hold for a filter that keeps everything."""
    identifier = load_identifier()
    for claimed, language in zip(LANGUAGES, LANGUAGES[1:] + LANGUAGES[:1], strict=True):
        found = identify.verdicts(documents(language), claimed, identifier, CONFIG.identify)
        assert (found >= 0).all(), (claimed, language)


def test_clean_text_said_twice_is_rejected_by_the_rules() -> None:
    """Otherwise the first test would hold for rules that object to nothing."""
    for language in LANGUAGES:
        doubled = "\n".join(_sentences()[language][:10] * 2)
        are_words = get_language(language).words == "spaces"
        repaired = repair(from_strings([doubled]), are_words=are_words, max_word_characters=1000)
        judge = judge_of(get_language(language), GOPHER)
        tokens = tokenise(repaired.texts, are_words=are_words)
        (verdict,) = judge.verdicts(judge.measures(repaired.texts, tokens, repaired.shares))
        assert judge.reasons[verdict] == "repeated-lines", language
