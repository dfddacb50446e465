"""The units of work of `evaluate`: a suite on a language (or on all of them), in any process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polylm_core.records import read_instructions
from polylm_core.stages.evaluate.answers import answer_instructions
from polylm_core.stages.evaluate.choice import build_questions, run_harness
from polylm_core.stages.evaluate.compression import (
    choose_documents,
    score_language,
    unigram_bits,
)
from polylm_core.stages.evaluate.config import EvaluateConfig
from polylm_core.stages.evaluate.model import LoadedModel, load_model
from polylm_core.stages.evaluate.pairs import sentence_pairs
from polylm_core.stages.evaluate.tables import (
    Answer,
    Choice,
    HarnessScore,
    ScoredDocument,
    Translation,
)
from polylm_core.stages.evaluate.translation import translate_language

Suite = Literal["translation_choice", "translation", "answers", "bits_per_byte"]


@dataclass(frozen=True)
class Setting:
    """What all units of a run share."""

    config: EvaluateConfig
    seed: int
    models: dict[str, tuple[Path, str, str | None]]
    """Folder, fingerprint and adapter of `base` and `chat`."""
    held_out: Path
    """The held-out folder of the ShardSet."""
    instructions: Path
    """The held-out instructions."""
    work: Path


@dataclass(frozen=True)
class Unit:
    """One piece of work."""

    suite: Suite
    model: Literal["base", "chat"]
    languages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What people are told is under way."""
        return " ".join([self.suite, self.model, *self.languages[:1]])


@dataclass(frozen=True)
class Outcome:
    """What a unit found; most units fill one of these."""

    documents: Sequence[ScoredDocument] = ()
    translations: Sequence[Translation] = ()
    answers: Sequence[Answer] = ()
    choices: Sequence[Choice] = ()
    harness: Sequence[HarnessScore] = ()
    too_long: int = 0
    """Items passed over because they do not fit the model's context."""


def run_unit(setting: Setting, unit: Unit) -> Outcome:
    """Do one unit of work."""
    loaded = load_model(*setting.models[unit.model])
    match unit.suite:
        case "bits_per_byte":
            return _compression(setting, unit, loaded)
        case "translation":
            return _translation(setting, unit, loaded)
        case "answers":
            return _answers(setting, loaded)
        case "translation_choice":
            return _choice(setting, unit, loaded)


def _compression(setting: Setting, unit: Unit, loaded: LoadedModel) -> Outcome:
    (language,) = unit.languages
    path = setting.held_out / "documents" / language
    documents = choose_documents(path, setting.config.compression, setting.seed)
    baseline = unigram_bits(setting.models["base"][0], language, loaded.model.config.vocab_size)
    return Outcome(documents=score_language(loaded, unit.model, documents, language, baseline))


def _translation(setting: Setting, unit: Unit, loaded: LoadedModel) -> Outcome:
    (language,) = unit.languages
    config = setting.config
    pairs = sentence_pairs(
        setting.held_out / "pairs" / language,
        min_english_words=config.min_english_words,
        seed=setting.seed,
    )
    rows, too_long = translate_language(
        loaded, pairs, config.translation, config.repetition_penalty
    )
    return Outcome(translations=rows, too_long=too_long)


def _answers(setting: Setting, loaded: LoadedModel) -> Outcome:
    rows, too_long = answer_instructions(
        loaded,
        read_instructions(setting.instructions),
        setting.config.answers,
        repetition_penalty=setting.config.repetition_penalty,
        seed=setting.seed,
    )
    return Outcome(answers=rows, too_long=too_long)


def _choice(setting: Setting, unit: Unit, loaded: LoadedModel) -> Outcome:
    questions, too_long = [], 0
    for language in unit.languages:
        pairs = sentence_pairs(
            setting.held_out / "pairs" / language,
            min_english_words=setting.config.min_english_words,
            seed=setting.seed,
        )
        built, passed_over = build_questions(
            loaded, pairs, setting.config.choice.items_per_language, setting.seed
        )
        questions += built
        too_long += passed_over
    choices, harness = run_harness(loaded, questions, setting.work / "harness")
    return Outcome(choices=choices, harness=harness, too_long=too_long)
