"""The `encode` section of `params.yaml`."""

from __future__ import annotations

from pydantic import Field

from polylm_core.pair_layouts import DEFAULT_WEIGHTS, LayoutWeights
from polylm_core.stages.base import StageConfig


class EncodeConfig(StageConfig):
    """How documents and pairs become token ids."""

    max_tokens_per_document: int | None = Field(default=None, gt=1)
    """Longer documents are cut here, the end mark counted in; the rest is counted. None cuts
    nothing."""
    pair_layouts: LayoutWeights = Field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    """How aligned pairs become text, as parts of them; each pair in one layout and one direction,
    drawn by its id."""
