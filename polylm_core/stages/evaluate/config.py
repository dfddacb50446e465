"""The `evaluate` section of `params.yaml`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from polylm_core.stages.base import StageConfig
from polylm_core.stages.evaluate.benchmarks.catalogue import SETS
from polylm_core.stages.evaluate.judging.judge_config import JudgeConfig

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


class ContaminationConfig(StageConfig):
    """What counts as an item of an evaluation set that was trained on.

    Runs of 13 words as in GPT-3 (arXiv 2005.14165, appendix C); a shorter line has to equal one of
    the training text.
    """

    ngram_words: int = Field(default=13, ge=2)
    ngram_characters: int = Field(default=30, ge=2)
    """Length of a run in languages without spaces between words."""
    min_line_letters: int = Field(default=20, ge=1)
    """Shorter lines of an item are not looked for: "Yes." stands in every text."""
    min_line_letters_unspaced: int = Field(default=8, ge=1)
    """The same in languages without spaces between words."""


class BenchmarkSetConfig(StageConfig):
    """How a published set is asked."""

    languages: tuple[str, ...] | None = None
    """FLORES-200 codes; by default those of the recipe's languages that the set has."""
    shots: int | None = Field(default=None, ge=0)
    """Examples in the prompt, for both models; by default as PolyLM has it: what the catalogue
    says for the base model, none for the chat model."""
    items_per_language: int | None = Field(default=None, gt=0)
    """So many items, drawn by the recipe's seed, in place of all."""


class BenchmarksConfig(StageConfig):
    """Published benchmarks, asked as PolyLM asks them (arXiv 2307.06018, section 5)."""

    sets: dict[str, BenchmarkSetConfig] = Field(min_length=1)
    """By name in the catalogue. Where a set lies is the profile's `benchmark_locations`, or the
    cache of the Hugging Face hub."""
    models: tuple[Literal["base", "chat"], ...] = Field(default=("base", "chat"), min_length=1)
    """Which models are asked."""
    max_new_tokens: int = Field(default=256, gt=0)
    """Longest answer where the model writes; smaller than the model's context."""

    @model_validator(mode="after")
    def _sets_are_known(self) -> Self:
        for name, asked in self.sets.items():
            if name not in SETS:
                raise ValueError(f"no benchmark {name!r}; known: {', '.join(sorted(SETS))}")
            known = SETS[name].languages
            foreign = [code for code in asked.languages or () if code not in known]
            if foreign:
                raise ValueError(
                    f"{name} has no {', '.join(foreign)}; it has {', '.join(sorted(known))}"
                )
            shots = SETS[name].base_shots if asked.shots is None else asked.shots
            if asked.items_per_language is not None and asked.items_per_language <= shots:
                raise ValueError(
                    f"{name}: examples are other items, so items_per_language "
                    f"({asked.items_per_language}) has to be more than the {shots} shots"
                )
        return self


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
    contamination: ContaminationConfig = ContaminationConfig()
    benchmarks: BenchmarksConfig | None = None
    """Published sets; without them none is asked."""
    judge: JudgeConfig | None = None
    """Questions that the chat model answers and another model grades; without it none are."""
