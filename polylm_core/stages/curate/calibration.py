"""What a calibration found: the settings of a language, and how they do on trusted text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polylm_core.stages.curate.fineweb import FineWebSettings
from polylm_core.stages.curate.rules_config import RuleThresholds

NORMAL_QUANTILE = 1.959964
"""Of a two-sided interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Rejected documents of trusted ones."""

    rejected: int
    documents: int

    @property
    def share(self) -> float:
        """Rejected, of all."""
        return self.rejected / max(self.documents, 1)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval of the share, 95 % (JASA 22, 1927)."""
        n, p, z = max(self.documents, 1), self.share, NORMAL_QUANTILE
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low = middle - half if self.rejected else 0.0
        return low, middle + half if self.rejected < n else 1.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Rejects with the settings as they were, and as they were calibrated."""

    seed_before: Rate
    seed_after: Rate
    held_out_before: Rate
    held_out_after: Rate


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule: what it rejects alone."""

    reason: str
    setting: str
    """Its threshold's name; of n-grams `max_top_ngram_share.2`."""
    before: float
    after: float
    rates: Rates
    turned_off_by: str
    """The document that asks for most, of a rule that can reject nothing any more; or empty."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Settings of one language."""

    language: str
    limits: RuleThresholds
    """All thresholds."""
    thresholds: Mapping[str, Any]
    """Those that differ from what the recipe says of every language (or its FineWeb-2 file)."""
    stop_words: tuple[str, ...]
    """None in languages without spaces between words."""
    min_confidence: float | None
    """Of the identification; none when the classifier does not know the language."""
    budget: float
    seed_bytes: int
    held_out_bytes: int
    other_script_documents: int
    """Left out: text that is not in the language's script is not in the language."""
    too_short_documents: int
    """Left out: shorter than `min_words`, which is the recipe's to say."""
    rules: tuple[RuleReport, ...]
    together: Rates
    """Rejects of all rules and the identification."""

    def params(self) -> dict[str, Any]:
        """The part of `params.yaml` that says so."""
        rules: dict[str, Any] = {"by_language": {self.language: dict(self.thresholds)}}
        if self.stop_words:
            rules["stop_words"] = {self.language: list(self.stop_words)}
        curate: dict[str, Any] = {"rules": rules}
        if self.min_confidence is not None:
            found = {self.language: self.min_confidence}
            curate = {"identify": {"min_confidence_by_language": found}, **curate}
        return {"curate": curate}

    def fineweb2(self) -> FineWebSettings:
        """The same as a file of FineWeb-2, as far as it has words for it."""
        return FineWebSettings.of_thresholds(
            self.limits.model_dump(),
            language_score=self.min_confidence or 0,
            stopwords=self.stop_words,
        )
