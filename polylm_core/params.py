"""The recipe: everything in `params.yaml`, checked at once.

What changes a result is here, what does not is in a profile (`settings.py`). A recipe never holds
a host name, a GPU count or a path.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from polylm_core.errors import ParamsError, Problem, UnknownLanguageError
from polylm_core.known_keys import with_nearest
from polylm_core.languages import ENGLISH, get_language
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.encode.config import EncodeConfig
from polylm_core.stages.evaluate.config import EvaluateConfig
from polylm_core.stages.finetune.config import FinetuneConfig
from polylm_core.stages.ingest.config import IngestConfig
from polylm_core.stages.instruct.config import ORIGINS, InstructConfig
from polylm_core.stages.mix.config import MixConfig
from polylm_core.stages.pretrain.imported_config import PretrainSection
from polylm_core.stages.report.config import ReportConfig
from polylm_core.stages.vocab.config import VocabConfig
from polylm_core.yaml_files import credential_problems, describe_validation, read_yaml


class Params(BaseModel):
    """A complete recipe."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    seed: int = Field(ge=0, lt=2**32)
    """Seeds every random choice of every stage."""
    languages: tuple[str, ...] = Field(min_length=1)
    """Languages of the model, as FLORES-200 codes."""
    ingest: IngestConfig
    curate: CurateConfig
    vocab: VocabConfig
    encode: EncodeConfig
    mix: MixConfig
    pretrain: PretrainSection
    instruct: InstructConfig
    finetune: FinetuneConfig
    evaluate: EvaluateConfig
    report: ReportConfig

    @field_validator("languages", mode="after")
    @classmethod
    def _known_and_unique(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        repeated = sorted({code for code in languages if languages.count(code) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} is listed more than once")
        return languages


def load_params(path: Path) -> Params:
    """Load and check a recipe.

    Raises ParamsError with every problem of the file: its dotted path, what is wrong, the value.
    """
    try:
        content = read_yaml(path)
    except FileNotFoundError as error:
        raise ParamsError(str(path), [Problem("(file)", "does not exist")]) from error
    except OSError as error:
        message = f"cannot be read: {error.strerror}; name a recipe"
        raise ParamsError(str(path), [Problem("(file)", message)]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(str(path), [Problem("(file)", f"is not YAML: {error}")]) from error
    if not isinstance(content, dict):
        raise ParamsError(str(path), [Problem("(file)", "must be a mapping", content)])
    problems = [*_language_problems(content.get("languages")), *credential_problems(content)]
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        shape = describe_validation(str(path), error, content)
        found = with_nearest(shape.problems, Params)
        raise ParamsError(str(path), [*found, *problems]) from error
    problems += _reference_problems(params)
    if problems:
        raise ParamsError(str(path), problems)
    return params


def _language_problems(languages: Any) -> list[Problem]:
    """Return a problem for each code the registry does not know."""
    problems = []
    for index, code in enumerate(languages if isinstance(languages, list) else []):
        if isinstance(code, str):
            try:
                get_language(code)
            except UnknownLanguageError as error:
                problems.append(Problem(f"languages.{index}", str(error), code))
    return problems


def _reference_problems(params: Params) -> list[Problem]:
    """Return a problem for each name of another section that stands for nothing, or for two things.

    No section sees these by itself, and a run would tell them hours later.
    """
    return [
        *_source_problems(params),
        *_origin_problems(params),
        *_phase_language_problems(params),
        *_adapter_problems(params),
    ]


def _source_problems(params: Params) -> Iterator[Problem]:
    shared = sorted(params.ingest.sources.keys() & params.instruct.imports.keys())
    for name in shared:
        taken = "is a source of `ingest` too; give it another name"
        yield Problem(f"instruct.imports.{name}", taken)
    named = {"curate.held_out.share_by_source": tuple(params.curate.held_out.share_by_source)}
    for language, config in params.curate.quality.by_language.items():
        named[f"curate.quality.by_language.{language}.trusted"] = config.trusted
    declared = ", ".join(sorted(params.ingest.sources))
    for place, sources in named.items():
        for source in sources:
            if source not in params.ingest.sources:
                message = f"no source of `ingest.sources` has this name ({declared})"
                yield Problem(place, message, source)


def _origin_problems(params: Params) -> Iterator[Problem]:
    known = ORIGINS | params.instruct.imports.keys()
    for number, phase in enumerate(params.finetune.phases):
        for origin in phase.origins or ():
            if origin not in known:
                message = f"no instruction has this origin; there are {', '.join(sorted(known))}"
                yield Problem(f"finetune.phases.{number}.origins", message, origin)


def _phase_language_problems(params: Params) -> Iterator[Problem]:
    """Imported rows can be in any language, and tasks from pairs in any that has pairs.

    With either, only the run can judge.
    """
    instruct = params.instruct
    if instruct.imports or instruct.cross_lingual.pairs_per_further_language:
        return
    known = {ENGLISH, *params.languages, *_languages_written(instruct)}
    for number, phase in enumerate(params.finetune.phases):
        for language in phase.languages or ():
            if language not in known:
                message = f"no instruction is in it; there are {', '.join(sorted(known))}"
                yield Problem(f"finetune.phases.{number}.languages", message, language)


def _languages_written(instruct: InstructConfig) -> Iterator[str]:
    yield from instruct.cross_lingual.hubs
    if instruct.self_instruct is not None:
        yield from instruct.self_instruct.languages
    if instruct.translate is not None:
        yield from instruct.translate.languages


def _adapter_problems(params: Params) -> Iterator[Problem]:
    """Without its adapter, a model that nothing but adapters was trained for is the base."""
    phases = params.finetune.phases
    adapters = [phase.name for phase in phases if phase.method.kind == "lora"]
    wanted = params.evaluate.adapter
    if wanted is not None and wanted not in adapters:
        named = ", ".join(adapters) or "none"
        message = f"no LoRA phase of finetune has this name; there are {named}"
        yield Problem("evaluate.adapter", message, wanted)
    if wanted is None and len(adapters) == len(phases):
        message = "every phase of finetune is LoRA, and without one the chat model is the base"
        yield Problem("evaluate.adapter", f"{message}; state {' or '.join(adapters)}")
