"""The recipe: everything in `params.yaml`, checked at once.

What changes a result is here, what does not is in a profile (`settings.py`). A recipe never holds
a host name, a GPU count or a path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from polylm_core.errors import ParamsError, Problem, UnknownLanguageError
from polylm_core.known_keys import with_nearest
from polylm_core.languages import get_language
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.encode.config import EncodeConfig
from polylm_core.stages.evaluate.config import EvaluateConfig
from polylm_core.stages.finetune.config import FinetuneConfig
from polylm_core.stages.ingest.config import IngestConfig
from polylm_core.stages.instruct.config import InstructConfig
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
    problems += _source_problems(params)
    if problems:
        raise ParamsError(str(path), problems)
    return params


def _source_problems(params: Params) -> list[Problem]:
    """Return a problem for each name of a source that stands for none, or for two."""
    named = {"curate.held_out.share_by_source": tuple(params.curate.held_out.share_by_source)}
    for language, config in params.curate.quality.by_language.items():
        named[f"curate.quality.by_language.{language}.trusted"] = config.trusted
    declared = ", ".join(sorted(params.ingest.sources))
    shared = sorted(params.ingest.sources.keys() & params.instruct.imports.keys())
    return [
        Problem(f"instruct.imports.{name}", "is a source of `ingest` too; give it another name")
        for name in shared
    ] + [
        Problem(place, f"no source of `ingest.sources` has this name ({declared})", source)
        for place, sources in named.items()
        for source in sources
        if source not in params.ingest.sources
    ]


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
