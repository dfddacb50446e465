"""The `evaluate` section of `params.yaml`."""

from __future__ import annotations

from pydantic import Field, field_validator

from polylm_core.stages.base import StageConfig

PROMPT_FIELDS = ("{text}", "{source_language}", "{target_language}")


class CompressionConfig(StageConfig):
    """Bits per byte on held-out documents, base and chat model.

    Bounded in bytes, not tokens: two tokenizers are then scored on the same text.
    """

    max_bytes_per_language: int = Field(gt=0)
    max_bytes_per_document: int = Field(gt=0)
    """Only the first lines of a long document are scored, so that many documents are."""


class TranslationConfig(StageConfig):
    """Held-out pairs translated by the chat model, from English and into it."""

    prompt: str
    """What the model is asked, with {text}, {source_language} and {target_language}."""
    items_per_language: int = Field(gt=0)
    """Pairs; each is translated in both directions."""
    max_new_tokens: int = Field(gt=0)

    @field_validator("prompt")
    @classmethod
    def _has_every_field(cls, prompt: str) -> str:
        missing = [field for field in PROMPT_FIELDS if field not in prompt]
        if missing:
            raise ValueError(f"must contain {', '.join(missing)}")
        return prompt


class AnswersConfig(StageConfig):
    """Held-out instructions answered by the chat model."""

    prompts: int = Field(gt=0)
    """Instructions in all, spread evenly over their languages."""
    max_new_tokens: int = Field(gt=0)


class ChoiceConfig(StageConfig):
    """Which of four sentences is the translation: lm-evaluation-harness on the base model."""

    items_per_language: int = Field(gt=0)


class EvaluateConfig(StageConfig):
    """What the finished models are scored on; decoding is greedy throughout."""

    bootstrap_samples: int = Field(gt=0)
    """Resamples behind each 95 % interval of bits per byte, chrF and BLEU."""
    min_english_words: int = Field(gt=0)
    """Held-out pairs with a shorter English side (labels, buttons) are no test of translation."""
    adapter: str | None = None
    """Which adapter of the chat model is scored with it: the name of a LoRA phase of `finetune`. It
    has to be stated where all phases are LoRA, as the model without one is the base."""
    repetition_penalty: float = Field(default=1.0, ge=1)
    """1 is plain greedy decoding; PolyLM's model card decodes with 1.02."""
    compression: CompressionConfig
    translation: TranslationConfig
    answers: AnswersConfig
    choice: ChoiceConfig
