"""The `report` section of `params.yaml`."""

from __future__ import annotations

from pydantic import Field

from polylm_core.stages.base import StageConfig


class ReportConfig(StageConfig):
    """What the report and the model card say that no artifact knows."""

    model_name: str = Field(min_length=1)
    model_license: str = Field(min_length=1)
    """Licence of the weights, by its identifier on the Hugging Face hub."""
    domain: str = Field(min_length=1)
    """What the training text is about, in a few words: the model speaks like that."""
    domain_warning: str = Field(min_length=1)
    """What else whoever wants to use the model should know first."""
    samples_per_language: int = Field(default=3, ge=1)
    """Answers shown of each language, the first by id: none is picked by hand."""
