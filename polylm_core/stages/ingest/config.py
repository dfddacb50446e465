"""The `ingest` section of `params.yaml`."""

from __future__ import annotations

from pydantic import Field

from polylm_core.stages.base import StageConfig


class IngestConfig(StageConfig):
    """Which sources are read, and which languages are paired with English."""

    sources: tuple[str, ...] = Field(min_length=1)
    """Folders of `data/00_sources` to read, in order; each has a `source.yaml`."""
    pair_languages: tuple[str, ...] | None = None
    """Languages paired with English: a list, or none given for every language of the sources."""
