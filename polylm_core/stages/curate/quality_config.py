"""Models of quality in the `curate` section of `params.yaml`: one for each language that has any.

PolyLM (arXiv 2307.06018 §3.1) has an n-gram model of trusted text for each language but English,
and for English a 2-gram fastText classifier of Wikipedia and books against Common Crawl. It states
no cut, so the cut is a share: the worst documents of a language go, whatever their scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from polylm_core.ngram_model.units import Unit
from polylm_core.stages.base import StageConfig


class ModelFile(StageConfig):
    """A file of a declared source, pinned."""

    source: str = Field(min_length=1)
    """Name of the source in the `ingest` section."""
    file: str = Field(min_length=1)
    """Path of the file inside the source."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _Quality(StageConfig):
    drop_share: float = Field(ge=0, lt=1)
    """Documents of the language that are dropped: those of the lowest scores."""
    model: ModelFile | None = None
    """A model that exists; without one, one is trained on `trusted`."""
    trusted: tuple[str, ...] = ()
    """Sources whose documents of this language are good text."""
    max_training_bytes: int = Field(default=64_000_000, ge=1)
    """UTF-8 bytes of text of a kind that are trained on, chosen by hash; bounds the memory."""

    @model_validator(mode="after")
    def _either_read_or_trained(self) -> Self:
        if (self.model is None) == (not self.trusted):
            raise ValueError("name either a `model` to read or `trusted` sources to train one on")
        return self


class PerplexityConfig(_Quality):
    """Drop what an n-gram model of trusted text finds improbable (CCNet, arXiv 1911.00359 §3.3).

    CCNet keeps the best and the middle third as `head` and `middle`: `drop_share: 0.33` is that.
    """

    kind: Literal["perplexity"]
    unit: Unit | None = None
    """What the model counts; without it `words` or, for languages without spaces, `characters`."""
    pieces: ModelFile | None = None
    """SentencePiece model whose pieces are the tokens of `model`, as CCNet's models have it; text
    is then normalised as CCNet does."""
    order: int = Field(default=3, ge=2, le=6)
    """Longest n-grams of a trained model."""
    max_ngrams: int = Field(default=2_000_000, ge=1)
    """N-grams of a trained model, of all orders together."""

    @model_validator(mode="after")
    def _a_file_says_its_unit(self) -> Self:
        if self.model is not None and self.unit is None:
            raise ValueError("`unit` has to say what the n-grams of `model` are made of")
        if self.pieces is not None and (self.model is None or self.unit != "tokens"):
            raise ValueError("`pieces` belong to a `model` whose unit is `tokens`")
        return self


class ClassifierConfig(_Quality):
    """Drop what a linear classifier finds more like the crawl than like the trusted text."""

    kind: Literal["classifier"]
    label: str | None = None
    """Label of good text in `model`, a fastText `.bin` or `.ftz`."""
    max_features: int = Field(default=1 << 20, ge=1 << 10, le=1 << 26)
    """Hash buckets of words and pairs of words of a trained model; 4 bytes each."""
    epochs: int = Field(default=5, ge=1)
    """Passes over the training texts."""
    learning_rate: float = Field(default=0.5, gt=0)
    """First step of AdaGrad."""

    @model_validator(mode="after")
    def _a_file_says_its_label(self) -> Self:
        if (self.model is None) != (self.label is None):
            raise ValueError("`label` names the good text's label of `model`, and only that")
        return self


QualityModelConfig = Annotated[PerplexityConfig | ClassifierConfig, Field(discriminator="kind")]


class QualityConfig(StageConfig):
    """Models of quality, by language; a language without one is not cut."""

    by_language: Mapping[str, QualityModelConfig] = {}
