"""Settings of a language from text that is trusted: thresholds, stop words, confidence.

In: documents known to be good, and a recipe's `curate` section. Out: a `Calibration`. Four fifths
of the documents, chosen by a hash of their text, are what the settings are made of; the others say
what the settings reject of good text that they have not seen.

The declared budget is the share of good documents that all rules and the identification together
may reject. Thresholds of the recipe that reject next to nothing stay; the others are loosened to a
quantile of the seed, at one level for all: the strictest at which no more than the budget is
rejected (`loosening.py`).

- No threshold is made stricter: good text alone cannot say what that would gain, and the books and
  encyclopedias that are trusted are more even than the good half of the web. Rules that the recipe
  leaves off stay off for the same reason. Only stop words may be asked for where they were not: a
  language has no list of them until there is text of it.
- Documents in another script than the language's are no text of it, whoever trusts them, and how
  short a document may be is the recipe's to say of all languages: those that the two rules reject
  are left out, because a heading or an untranslated page would open every other rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from polylm_core.characters import from_strings
from polylm_core.errors import ParamsError, Problem, StageError
from polylm_core.identify_batch import BatchIdentifier
from polylm_core.languages import Language, get_language
from polylm_core.stages.curate import loosening
from polylm_core.stages.curate.calibration import Calibration, Rate, Rates, RuleReport
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.identify import REASONS, UNSURE, confidence, least_confidence
from polylm_core.stages.curate.measure import Measures
from polylm_core.stages.curate.repair import Shares, repair
from polylm_core.stages.curate.rules import Judge, Rule, judge_of
from polylm_core.stages.curate.rules_config import RulesConfig, RuleThresholds
from polylm_core.stages.curate.seed_text import HELD_OUT_PARTS, PARTS, split
from polylm_core.stages.curate.stop_words import choose_stop_words
from polylm_core.tokens import tokenise

DEFAULT_BUDGET = 0.01
_STOP_WORD_SHARE = 0.1
"""Part of the budget that the choice of stop words may use up."""
_BATCH_TEXTS = 2000
_UNITS = ("characters_per_word", "short_line_characters")
"""Not thresholds but what is counted: they stay as the recipe has them for the language."""


@dataclass(frozen=True, slots=True)
class _Documents:
    """Repaired documents, some to derive from or some to check with."""

    batches: list[tuple[list[str], Shares]]
    """Texts, and what the repair counted of them."""
    other_script: int
    """Left out, as are those of fewer words than the recipe wants."""
    too_short: int

    @property
    def texts(self) -> list[str]:
        return [text for texts, _ in self.batches for text in texts]


@dataclass(frozen=True, slots=True)
class _Part:
    """Documents and what was measured of them."""

    texts: list[str]
    measures: Measures


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
    plain = _without_thresholds(config.rules, language)
    found = [_repaired(part, judge_of(known, plain), config) for part in split(texts)]
    _require_enough(language, found, budget)
    stop_words = _stop_words(known, found[0].texts, plain, budget)
    judge = judge_of(known, plain.model_copy(update={"stop_words": {language: stop_words}}))
    seed, held_out = (_measured(part, judge, config, identifier) for part in found)
    before = _rules(judge, config, identifier)
    after = loosening.loosen(before, seed.measures, budget)
    limits = loosening.limits(judge.limits, after)
    return Calibration(
        language=language,
        limits=limits,
        thresholds=_changed(limits, _without(config.rules, language).for_language(language)),
        stop_words=stop_words,
        min_confidence=next((rule.least for rule in after if rule.measure == "confidence"), None),
        budget=budget,
        seed_bytes=_num_bytes(seed.texts),
        held_out_bytes=_num_bytes(held_out.texts),
        other_script_documents=sum(part.other_script for part in found),
        too_short_documents=sum(part.too_short for part in found),
        rules=tuple(_report(*rules, seed, held_out) for rules in zip(before, after, strict=True)),
        together=_rates(before, after, seed, held_out),
    )


def _rules(judge: Judge, config: CurateConfig, identifier: BatchIdentifier) -> list[Rule]:
    """All that a document is asked alone: the rules and, where it can be, its language."""
    language = judge.question.language.code
    if not identifier.knows(language):
        return list(judge.rules)
    least = least_confidence(language, config.identify)
    return [*judge.rules, Rule(REASONS[UNSURE], "confidence", least=least)]


def _changed(limits: RuleThresholds, base: RuleThresholds) -> dict[str, Any]:
    given = base.model_dump()
    return {name: value for name, value in limits.model_dump().items() if value != given[name]}


def _repaired(texts: Sequence[str], judge: Judge, config: CurateConfig) -> _Documents:
    are_words = judge.question.language.words == "spaces"
    batches = []
    other_script = too_short = 0
    for start in range(0, len(texts), _BATCH_TEXTS):
        made, shares, _ = repair(
            from_strings(texts[start : start + _BATCH_TEXTS]),
            are_words=are_words,
            max_word_characters=config.max_word_characters,
        )
        seen = judge.measures(made, tokenise(made, are_words=are_words), shares)
        is_short = seen["words"] < judge.limits.min_words
        is_other = ~is_short & (seen["script_share"] < judge.limits.min_script_share)
        too_short += int(is_short.sum())
        other_script += int(is_other.sum())
        left = np.flatnonzero(~is_short & ~is_other)
        kept = {name: values[left] for name, values in shares.items()}
        batches.append(([made.text(index) for index in left.tolist()], kept))
    return _Documents(batches, other_script, too_short)


def _require_enough(language: str, parts: Sequence[_Documents], budget: float) -> None:
    """A budget of one document at least in the seed, and documents to check with."""
    seen, unseen = (len(part.texts) for part in parts)
    needed = math.ceil(1 / budget)
    if seen >= needed and unseen > 0:
        return
    in_all = math.ceil(needed * PARTS / (PARTS - HELD_OUT_PARTS))
    others = sum(part.other_script for part in parts)
    short = sum(part.too_short for part in parts)
    raise StageError(
        f"calibrate {language}: {seen + unseen:,} documents that count ({short:,} more are shorter "
        f"than the recipe's min_words, {others:,} in another script, copies count once), but a "
        f"budget of {budget:g} needs about {in_all:,} (1 / budget to derive from, and a fifth of "
        "all to check with): give more trusted text, or a budget of "
        f"{_affordable(seen):g} or more"
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
    language: Language, seed: Sequence[str], rules: RulesConfig, budget: float
) -> tuple[str, ...]:
    if language.words != "spaces":
        return ()
    return choose_stop_words(
        seed,
        needed=rules.for_language(language.code).min_stop_words,
        coverage=1 - budget * _STOP_WORD_SHARE,
    )


def _measured(
    documents: _Documents, judge: Judge, config: CurateConfig, identifier: BatchIdentifier
) -> _Part:
    """Everything that is asked of documents, with the confidence of the identification."""
    language = judge.question.language
    columns: dict[str, list[npt.NDArray[np.float64]]] = {}
    for strings, shares in documents.batches:
        texts = from_strings(strings)
        tokens = tokenise(texts, are_words=language.words == "spaces")
        found = dict(judge.measures(texts, tokens, shares).columns)
        if judge.limits.allow_no_line_end:
            ended = found["line_end_share"]
            found["line_end_share"] = np.where(ended > 0, ended, 1)
        sure = confidence(texts, language.code, identifier, config.identify)
        found["confidence"] = sure.astype(np.float64)
        for name, values in found.items():
            columns.setdefault(name, []).append(values)
    measures = Measures({name: np.concatenate(parts) for name, parts in columns.items()})
    return _Part(documents.texts, measures)


def _num_bytes(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _report(old: Rule, new: Rule, seed: _Part, held_out: _Part) -> RuleReport:
    values = seed.measures[new.measure]
    furthest = int(values.argmin() if np.isfinite(new.least) else values.argmax())
    is_turned_off = loosening.is_off(new) and not loosening.is_off(old)
    return RuleReport(
        reason=old.reason,
        setting=".".join(map(str, loosening.setting(old))),
        before=loosening.threshold(old),
        after=loosening.threshold(new),
        rates=_rates([old], [new], seed, held_out),
        turned_off_by=seed.texts[furthest] if is_turned_off else "",
    )


def _rates(before: Sequence[Rule], after: Sequence[Rule], seed: _Part, held_out: _Part) -> Rates:
    return Rates(*(_rate(rules, part) for part in (seed, held_out) for rules in (before, after)))


def _rate(rules: Sequence[Rule], part: _Part) -> Rate:
    return Rate(int(loosening.rejected(rules, part.measures).sum()), len(part.texts))
