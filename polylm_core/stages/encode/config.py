"""The `encode` section of `params.yaml`."""

from __future__ import annotations

from pydantic import Field

from polylm_core.stages.base import StageConfig


class EncodeConfig(StageConfig):
    """How documents and pairs become token ids."""

    max_tokens_per_document: int | None = Field(default=None, gt=1)
    """Longer documents are cut here, the end mark counted in; the rest is counted. None cuts
    nothing."""
