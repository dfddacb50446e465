"""The `vocab` section of `params.yaml`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from polylm_core.stages.base import StageConfig

LEARNED_ONLY = ("vocab_size", "character_coverage", "sample_bytes", "sampling_exponent")


class ImportedConfig(StageConfig):
    """A SentencePiece model to take instead of learning one."""

    uri: str = Field(min_length=1)
    """Where its `.model` file is: a path, `https://...`, `s3://...`."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the file; another content is refused."""
    license: str = Field(min_length=1)
    """SPDX name of the licence the model is under."""


class ThresholdsConfig(StageConfig):
    """Bounds of one language that stand for those of `vocab.gate`."""

    max_tokens_per_word: float | None = Field(default=None, gt=0)
    """Instead of `gate.max_tokens_per_word`."""
    max_tokens_per_character: float | None = Field(default=None, gt=0)
    """Instead of `gate.max_tokens_per_character`."""
    max_parity: float | None = Field(default=None, gt=0)
    """Instead of `gate.max_parity`."""
    min_bytes_per_token: float | None = Field(default=None, ge=1)
    """Instead of `gate.min_bytes_per_token`."""
    max_byte_fallback_share: float | None = Field(default=None, ge=0, le=1)
    """Instead of `gate.max_byte_fallback_share`."""


class GateConfig(StageConfig):
    """What a vocabulary may cost a language at most, on held-out text."""

    max_tokens_per_word: float = Field(default=4.0, gt=0)
    """Fertility where spaces stand between words. Rust et al. 2021 measure 1.1 to 2.5 for mBERT's
    120,000 entries; 8,000 entries for 18 languages reach 3.4 on Russian."""
    max_tokens_per_character: float = Field(default=1.2, gt=0)
    """Fertility where none do; spaces are not counted. Above 1 a text is longer than its characters
    one by one."""
    max_parity: float = Field(default=3.0, gt=0)
    """Tokens over English tokens on aligned held-out pairs; not judged without pairs. Petrov et al.
    2023 find up to 15 in use; below 3 a language has at least a third of English's context."""
    min_bytes_per_token: float = Field(default=2.0, ge=1)
    """Below 2 an alphabet of two bytes a letter costs a token a letter."""
    max_byte_fallback_share: float = Field(default=0.05, ge=0, le=1)
    """Share of a text's tokens that are single bytes of characters without an entry."""
    by_language: dict[str, ThresholdsConfig] = Field(default_factory=dict)
    """Other bounds of single languages."""


class VocabConfig(StageConfig):
    """One SentencePiece vocabulary for all languages (PolyLM §3.1: BPE, digits apart, bytes)."""

    vocab_size: int | None = Field(default=None, ge=300, le=1_000_000)
    """Entries, with the 256 bytes and the marks of a chat among them; 256,000 in PolyLM. Required
    unless a model is imported."""
    character_coverage: float = Field(default=0.9995, ge=0.98, le=1)
    """Share of the sample's characters with an entry of their own; the others become bytes.
    SentencePiece takes no value below 0.98; 0.9995 is its advice for large character sets."""
    sample_bytes: int = Field(default=100_000_000, gt=0)
    """Bound of the text to train on, all languages together. Training takes 4 to 6 times this in
    memory for 18 languages and about 14 times where no spaces stand between words, so the default
    stays under 1.5 GB."""
    sampling_exponent: float = Field(default=0.0, ge=0, le=1)
    """Languages share the sample by (their bytes) ** exponent: 0 is equal shares, 1 as much as
    there is. PolyLM does not print its value; 0.3 is XLM-R's (Conneau 2019), whose smoothing it
    follows. On FLORES-200 dev, 0 has the most bytes per token and the lowest premium over English
    in the mean of 18 languages (`benchmarks/results/tokenizers.json`)."""
    imported: ImportedConfig | None = None
    """A model to take instead of learning one."""
    checked_lines_per_language: int = Field(default=500, ge=1)
    """Lines of each language on which SentencePiece and its Hugging Face twin must agree and
    the text must come back; held-out lines first."""
    measured_bytes_per_language: int = Field(default=10_000_000, ge=1)
    """Held-out text of each language that is measured, and as much of its pairs."""
    gate: GateConfig = Field(default_factory=GateConfig)

    @model_validator(mode="after")
    def _learned_or_imported(self) -> Self:
        if self.imported is None:
            if self.vocab_size is None:
                raise ValueError("vocab_size is missing (or name a model to take in `imported`)")
            return self
        idle = [name for name in LEARNED_ONLY if name in self.model_fields_set]
        if idle:
            raise ValueError(
                f"a model is imported, so nothing is learned with {', '.join(idle)}: remove them"
            )
        return self
