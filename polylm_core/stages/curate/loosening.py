"""Thresholds loosened until trusted text passes: the search behind `calibrate`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from polylm_core.stages.curate.measure import Measures
from polylm_core.stages.curate.rules import Rule
from polylm_core.stages.curate.rules_config import RuleThresholds

Flags = npt.NDArray[np.bool_]

WIDENING = 0.1
"""A loosened threshold goes past the quantile by this part of its distance from the median: text
that was not seen has extremes of its own. In FLORES-200, documents of five sentences, 204 languages
and Gopher's thresholds, it brings the unseen rejects from 0.53 % to 0.33 % (budget 1 %)."""
KEPT_SHARE = 0.5
"""Part of the budget for rules that stay as they are."""

_NGRAM = re.compile(r"(top|duplicate)_(\d+)_gram_share")
_WHOLE = {name for name, field in RuleThresholds.model_fields.items() if field.annotation is int}


def loosen(rules: Sequence[Rule], measures: Measures, budget: float) -> list[Rule]:
    """The rules with thresholds at which they reject at most the budget together.

    Those that reject the fewest documents stay as they are, until they take `KEPT_SHARE` of the
    budget: so one odd document does not turn a rule off. Each of the others may reject as many
    documents as the next, so many that the budget is not exceeded. What is left of it then goes to
    more rules that stay as they are.
    """
    documents = len(measures["words"])
    allowed = math.floor(budget * documents + 1e-9)
    if rejected(rules, measures).sum() <= allowed:
        return list(rules)
    found = [rule.objects(measures) for rule in rules]
    ranked = sorted(range(len(rules)), key=lambda index: int(found[index].sum()))
    kept = _kept(found, ranked, allowed)
    ordered = [np.sort(measures[rule.measure]) for rule in rules]

    def at(each: int) -> list[Rule]:
        return [
            rule if index in kept else _at_most(rule, values, each)
            for index, (rule, values) in enumerate(zip(rules, ordered, strict=True))
        ]

    low, high = 0, documents  # at 0 only those that are kept reject any
    while low < high:
        middle = (low + high + 1) // 2
        if rejected(at(middle), measures).sum() <= allowed:
            low = middle
        else:
            high = middle - 1
    for index in ranked:
        kept.add(index)
        if rejected(at(low), measures).sum() > allowed:
            kept.remove(index)
    return [
        _widened(old, new, float(np.median(values)))
        for old, new, values in zip(rules, at(low), ordered, strict=True)
    ]


def _kept(found: Sequence[Flags], ranked: Sequence[int], allowed: int) -> set[int]:
    """Rules that need not change: those of the fewest documents."""
    together = np.zeros_like(found[0])
    kept = set()
    for index in ranked:
        if (together | found[index]).sum() <= allowed * KEPT_SHARE:
            together |= found[index]
            kept.add(index)
    return kept


def rejected(rules: Sequence[Rule], measures: Measures) -> Flags:
    """Documents that at least one of the rules rejects."""
    found: Flags = np.any([rule.objects(measures) for rule in rules], axis=0)
    return found


def _at_most(rule: Rule, values: npt.NDArray[np.float64], allowed: int) -> Rule:
    """The rule, if need be with a threshold at which it rejects at most so many."""
    if allowed >= len(values):
        return rule
    if np.isfinite(rule.least):
        return replace(rule, least=min(rule.least, float(values[allowed])))
    return replace(rule, most=max(rule.most, float(values[len(values) - 1 - allowed])))


def _widened(old: Rule, new: Rule, median: float) -> Rule:
    """A loosened threshold, loosened a little more, and as people write numbers."""
    if new == old:
        return old
    seen, name = threshold(new), setting(new)[0]
    wide = seen + WIDENING * (seen - median)
    if np.isfinite(new.least):
        lowest = 1 if name == "min_words" else 0
        return replace(new, least=max(_rounded(min(wide, seen), math.floor, name), lowest))
    most = _rounded(max(wide, seen), math.ceil, name)
    is_part = name.endswith("_share") and "ngram" not in name
    return replace(new, most=min(most, 1) if is_part else most)


def _rounded(value: float, towards: Callable[[float], int], name: str) -> float:
    """Two digits, or a whole number where words are counted."""
    if name in _WHOLE:
        return towards(value)
    if value <= 0:
        return 0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(towards(value / unit) * unit, 12)


def setting(rule: Rule) -> tuple[str] | tuple[str, int]:
    """The threshold's name in the params, of n-grams with n."""
    if ngram := _NGRAM.fullmatch(rule.measure):
        return f"max_{ngram[1]}_ngram_share", int(ngram[2])
    return (f"{'min' if np.isfinite(rule.least) else 'max'}_{rule.measure}",)


def is_off(rule: Rule) -> bool:
    """Whether the rule can reject nothing, or only the empty document."""
    if np.isfinite(rule.least):
        return rule.least <= (1 if rule.measure == "words" else 0)
    return rule.most >= 1 and rule.measure.endswith("_share")


def threshold(rule: Rule) -> float:
    """The number that the rule compares with."""
    return rule.least if np.isfinite(rule.least) else rule.most


def limits(given: RuleThresholds, rules: Sequence[Rule]) -> RuleThresholds:
    """The thresholds with those of the rules."""
    values: dict[str, Any] = given.model_dump()
    for rule in rules:
        name, *n = setting(rule)
        if n:
            values[name] = {**values[name], n[0]: threshold(rule)}
        elif name in values:  # and not the identification's
            values[name] = threshold(rule)
    return RuleThresholds.model_validate(values)
