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

WIDENING = 0.1
"""A loosened threshold goes past the quantile by this part of its distance from the median: text
that was not seen has extremes of its own. In FLORES-200, documents of five sentences, 204 languages
and Gopher's thresholds, it brings the unseen rejects from 0.70 % to 0.47 % (budget 1 %)."""

_NGRAM = re.compile(r"(top|duplicate)_(\d+)_gram_share")
_WHOLE = {name for name, field in RuleThresholds.model_fields.items() if field.annotation is int}


def loosen(rules: Sequence[Rule], measures: Measures, budget: float) -> list[Rule]:
    """The rules with thresholds at which they reject at most the budget together.

    Each may reject as many of the measured documents, and those that reject fewer stay as they are.
    """
    ordered = [np.sort(measures[rule.measure]) for rule in rules]
    documents = len(ordered[0])

    def at(allowed: int) -> list[Rule]:
        return [
            _at_most(rule, values, allowed) for rule, values in zip(rules, ordered, strict=True)
        ]

    low, high = 0, documents  # none is rejected at `low`
    while low < high:
        middle = (low + high + 1) // 2
        if rejected(at(middle), measures).sum() <= budget * documents:
            low = middle
        else:
            high = middle - 1
    return [
        _widened(old, new, float(np.median(values)))
        for old, new, values in zip(rules, at(low), ordered, strict=True)
    ]


def rejected(rules: Sequence[Rule], measures: Measures) -> npt.NDArray[np.bool_]:
    """Documents that at least one of the rules rejects."""
    found: npt.NDArray[np.bool_] = np.any([rule.objects(measures) for rule in rules], axis=0)
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
