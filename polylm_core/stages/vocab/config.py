"""The `vocab` section of `params.yaml`."""

from __future__ import annotations

from pydantic import Field

from polylm_core.stages.base import StageConfig


class VocabConfig(StageConfig):
    """One SentencePiece vocabulary for all languages (PolyLM §3.1: BPE, digits apart, bytes)."""

    vocab_size: int = Field(ge=300, le=1_000_000)
    """Entries, with the 256 bytes and the marks of a chat among them; 256,000 in PolyLM."""
    character_coverage: float = Field(ge=0.98, le=1)
    """Share of the sample's characters with an entry of their own; the others become bytes.
    SentencePiece takes no value below 0.98."""
    sample_bytes: int = Field(gt=0)
    """Bound of the text to train on, all languages together."""
    sampling_exponent: float = Field(default=0.3, ge=0, le=1)
    """Languages share the sample by (their bytes) ** exponent; PolyLM does not print its value,
    0.3 is XLM-R's (Conneau 2019), whose smoothing it follows."""
    checked_lines_per_language: int = Field(default=500, ge=1)
    """Lines of each language on which SentencePiece and its Hugging Face twin must agree and
    the text must come back; held-out lines first."""
