"""The gate: what a vocabulary costs each language, held against the thresholds of the recipe.

All languages and measures that fail are named at once, each with its value, its threshold and what
to raise for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from polylm_core.errors import StageError
from polylm_core.stages.vocab.config import GateConfig, VocabConfig
from polylm_core.stages.vocab.fertility import Fertility, Measured

GATE_SCHEMA = pa.schema(
    [
        ("language", pa.string()),
        ("measure", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("passed", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One measure of one language; a row of `gate.parquet`."""

    language: str
    measure: str
    """Name of the threshold in `vocab.gate`."""
    value: float | None
    """None where it could not be measured: parity without aligned pairs."""
    threshold: float
    passed: bool | None
    """None where there is no value."""


def judge(row: Fertility, gate: GateConfig) -> list[Verdict]:
    """Hold one language against its thresholds."""
    fertility = f"max_tokens_per_{row.word_unit.removesuffix('s')}"
    values = {
        fertility: row.tokens_per_word,
        "max_parity": row.parity,
        "min_bytes_per_token": row.bytes_per_token,
        "max_byte_fallback_share": row.byte_fallback_share,
    }
    return [
        Verdict(row.language, measure, value, threshold, _passes(measure, value, threshold))
        for measure, value in values.items()
        for threshold in [_threshold(gate, row.language, measure)]
    ]


def _threshold(gate: GateConfig, language: str, measure: str) -> float:
    own = gate.by_language.get(language)
    bound = None if own is None else getattr(own, measure)
    return float(getattr(gate, measure) if bound is None else bound)


def _passes(measure: str, value: float | None, threshold: float) -> bool | None:
    if value is None:
        return None
    return value >= threshold if measure.startswith("min_") else value <= threshold


def require_passed(
    config: VocabConfig,
    measured: Sequence[Measured],
    verdicts: Sequence[Verdict],
    *,
    sample_bytes: Mapping[str, int],
    language_bytes: Mapping[str, int],
) -> None:
    """Raise StageError that names every language that fails, with what to raise; or return."""
    problems = [f"{m.row.language}: {fault}" for m in measured for fault in m.faults]
    for verdict in verdicts:
        if verdict.passed is False and verdict.value is not None:
            side = "least" if verdict.measure.startswith("min_") else "most"
            advice = _advice(config, verdict, sample_bytes, language_bytes)
            problems.append(
                f"{verdict.language}: {_WORDS[verdict.measure]} {verdict.value:.3g}, at {side} "
                f"{verdict.threshold:.3g} is asked for ({verdict.measure}); {advice}"
            )
    if problems:
        languages = {problem.partition(":")[0] for problem in problems}
        last = "if a language may cost that much, say so in vocab.gate.by_language"
        if config.imported is None:
            last += "; the model is kept, and other thresholds do not train it again"
        raise StageError(
            f"the vocabulary does not pass for {len(languages)} of {len(measured)} languages:\n"
            + "\n".join(f"  {problem}" for problem in sorted(problems))
            + f"\n{last}"
        )


_WORDS = {
    "max_tokens_per_word": "tokens a word are",
    "max_tokens_per_character": "tokens a character are",
    "max_parity": "tokens over English tokens for the same sentences are",
    "min_bytes_per_token": "bytes a token are",
    "max_byte_fallback_share": "the share of tokens that are single bytes is",
}


def _advice(
    config: VocabConfig,
    verdict: Verdict,
    sample_bytes: Mapping[str, int],
    language_bytes: Mapping[str, int],
) -> str:
    """What to raise for a language: first what its sample shows to be short."""
    if config.imported is not None:
        return "import a model that knows the language, or learn one"
    drawn = sample_bytes.get(verdict.language, 0)
    there = language_bytes.get(verdict.language, 0)
    ways = [f"raise vocab.vocab_size ({config.vocab_size:,})"]
    if verdict.measure == "max_byte_fallback_share" and config.character_coverage < 1:
        ways.insert(0, f"raise vocab.character_coverage ({config.character_coverage:g})")
    if drawn >= 0.9 * there:
        ways.append(f"add text of the language (all its {there:,} bytes are in the sample)")
        return ", or ".join(ways)
    if drawn * len(sample_bytes) < sum(sample_bytes.values()) and config.sampling_exponent > 0:
        ways.append(f"lower vocab.sampling_exponent ({config.sampling_exponent:g})")
    elif config.sampling_exponent < 1:
        ways.append(f"raise vocab.sampling_exponent ({config.sampling_exponent:g})")
    ways.append(f"raise vocab.sample_bytes ({config.sample_bytes:,}, of which it has {drawn:,})")
    return ", or ".join(ways)
