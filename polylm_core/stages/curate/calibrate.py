"""Settings of a language from text that is trusted: thresholds, stop words, confidence.

In: documents known to be good, and a recipe's `curate` section. Out: a `Calibration`. Four fifths
of the documents, chosen by a hash of their text, are what the settings are made of; the others say
what the settings reject of good text that they have not seen.

The declared budget is the share of good documents that all rules and the identification together
may reject. Every threshold of the recipe that rejects next to nothing stays. The others are
loosened to a quantile of the seed, at one level for all: the strictest at which no more than the
budget is rejected. No threshold is made stricter: good text alone cannot say what that would gain,
and the books and encyclopedias that are trusted are more even than the good half of the web. Rules
that the recipe leaves off stay off for the same reason. Only stop words may be asked for where they
were not: a language has no list of them until there is text of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from polylm_core.characters import from_strings
from polylm_core.errors import ParamsError, Problem, StageError
from polylm_core.identify_batch import BatchIdentifier
from polylm_core.languages import Language, get_language
from polylm_core.stages.curate import loosening
from polylm_core.stages.curate.calibration import Calibration, Rate, Rates, RuleReport
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.identify import REASONS, UNSURE, confidence
from polylm_core.stages.curate.measure import Measures
from polylm_core.stages.curate.repair import Shares, repair
from polylm_core.stages.curate.rules import Judge, Rule, judge_of
from polylm_core.stages.curate.rules_config import RulesConfig
from polylm_core.stages.curate.seed_text import HELD_OUT_PARTS, PARTS, split
from polylm_core.stages.curate.stop_words import choose_stop_words
from polylm_core.tokens import tokenise

DEFAULT_BUDGET = 0.01
_STOP_WORD_SHARE = 0.1
"""Part of the budget that the choice of stop words may use up."""
_BATCH_TEXTS = 2000
_UNITS = ("characters_per_word", "short_line_characters")
"""Not thresholds but what is counted: they stay as the recipe has them for the language."""

Repaired = list[tuple[list[str], Shares]]
"""Documents of which something is left, in batches, with what the repair counted."""


def calibrate(
    language: str,
    texts: Iterable[str],
    config: CurateConfig,
    identifier: BatchIdentifier,
    *,
    budget: float = DEFAULT_BUDGET,
) -> Calibration:
    """Derive the settings of a language from trusted documents, whose order does not matter.

    Raises UnknownLanguageError, ParamsError for a budget that is no share, and StageError where
    the text is too little for the budget.
    """
    known = get_language(language)
    if not 0 < budget <= 0.5:
        raise ParamsError("calibrate", [Problem("budget", "is not between 0 and 0.5", budget)])
    seed, held_out = (_repaired(part, known, config) for part in split(texts))
    _require_enough(language, seed, held_out, budget)
    plain = _without_thresholds(config.rules, language)
    stop_words = _stop_words(known, seed, plain, budget)
    judge = judge_of(known, plain.model_copy(update={"stop_words": {language: stop_words}}))
    measured = [_measure(part, judge, config, identifier) for part in (seed, held_out)]
    before = list(judge.rules)
    if identifier.knows(language):
        least = config.identify.min_confidence
        before.append(Rule(REASONS[UNSURE], "confidence", least=least))
    after = loosening.loosen(before, measured[0], budget)
    limits = loosening.limits(judge.limits, after)
    base = _without(config.rules, language).for_language(language).model_dump()
    return Calibration(
        language=language,
        limits=limits,
        thresholds={
            name: value for name, value in limits.model_dump().items() if value != base[name]
        },
        stop_words=stop_words,
        min_confidence=next((rule.least for rule in after if rule.measure == "confidence"), None),
        budget=budget,
        seed_bytes=_num_bytes(seed),
        held_out_bytes=_num_bytes(held_out),
        rules=_reports(before, after, measured),
        together=_rates(before, after, measured),
    )


def _repaired(texts: Sequence[str], language: Language, config: CurateConfig) -> Repaired:
    batches: Repaired = []
    for start in range(0, len(texts), _BATCH_TEXTS):
        made = repair(
            from_strings(texts[start : start + _BATCH_TEXTS]),
            are_words=language.words == "spaces",
            max_word_characters=config.max_word_characters,
        )
        left = np.flatnonzero(made.texts.sizes)
        if len(left):
            shares = {name: values[left] for name, values in made.shares.items()}
            batches.append(([made.texts.text(each) for each in left.tolist()], shares))
    return batches


def _require_enough(language: str, seed: Repaired, held_out: Repaired, budget: float) -> None:
    """A budget of one document at least in the seed, and documents to check with."""
    needed = math.ceil(1 / budget)
    seen = sum(len(texts) for texts, _ in seed)
    unseen = sum(len(texts) for texts, _ in held_out)
    if seen >= needed and unseen > 0:
        return
    in_all = math.ceil(needed * PARTS / (PARTS - HELD_OUT_PARTS))
    raise StageError(
        f"calibrate {language}: {seen + unseen:,} different documents with text, but a budget of "
        f"{budget:g} needs about {in_all:,} (1 / budget to derive from, and a fifth of all to "
        f"check with): give more trusted text, or a budget of {_affordable(seen):g} or more"
    )


def _affordable(documents: int) -> float:
    return min(0.5, math.ceil(1000 / max(documents, 2)) / 1000)


def _without(rules: RulesConfig, language: str) -> RulesConfig:
    others = {code: given for code, given in rules.by_language.items() if code != language}
    return rules.model_copy(update={"by_language": others})


def _without_thresholds(rules: RulesConfig, language: str) -> RulesConfig:
    """The rules as for a language of which nothing is known, but in its own units."""
    given = rules.by_language.get(language, {})
    units = {name: value for name, value in given.items() if name in _UNITS}
    return rules.model_copy(update={"by_language": {language: units}})


def _stop_words(
    language: Language, seed: Repaired, rules: RulesConfig, budget: float
) -> tuple[str, ...]:
    if language.words != "spaces":
        return ()
    return choose_stop_words(
        [text for texts, _ in seed for text in texts],
        needed=rules.for_language(language.code).min_stop_words,
        coverage=1 - budget * _STOP_WORD_SHARE,
    )


def _measure(
    batches: Repaired, judge: Judge, config: CurateConfig, identifier: BatchIdentifier
) -> Measures:
    """Everything that is asked of documents, with the confidence of the identification."""
    language = judge.question.language
    columns: dict[str, list[npt.NDArray[np.float64]]] = {}
    for strings, shares in batches:
        texts = from_strings(strings)
        tokens = tokenise(texts, are_words=language.words == "spaces")
        found = dict(judge.measures(texts, tokens, shares).columns)
        if judge.limits.allow_no_line_end:
            found["line_end_share"] = np.where(
                found["line_end_share"] > 0, found["line_end_share"], 1
            )
        sure = confidence(texts, language.code, identifier, config.identify)
        found["confidence"] = sure.astype(np.float64)
        for name, values in found.items():
            columns.setdefault(name, []).append(values)
    return Measures({name: np.concatenate(parts) for name, parts in columns.items()})


def _num_bytes(batches: Repaired) -> int:
    return sum(len(text.encode()) for texts, _ in batches for text in texts)


def _reports(
    before: Sequence[Rule], after: Sequence[Rule], measured: Sequence[Measures]
) -> tuple[RuleReport, ...]:
    return tuple(
        RuleReport(
            reason=old.reason,
            setting=".".join(map(str, loosening.setting(old))),
            before=loosening.threshold(old),
            after=loosening.threshold(new),
            rates=_rates([old], [new], measured),
        )
        for old, new in zip(before, after, strict=True)
    )


def _rates(before: Sequence[Rule], after: Sequence[Rule], measured: Sequence[Measures]) -> Rates:
    (seed_before, held_out_before), (seed_after, held_out_after) = (
        [
            Rate(int(loosening.rejected(rules, table).sum()), len(table["words"]))
            for table in measured
        ]
        for rules in (before, after)
    )
    return Rates(seed_before, seed_after, held_out_before, held_out_after)
