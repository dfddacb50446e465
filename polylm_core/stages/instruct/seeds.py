"""The seed tasks: written by people, once per language, aligned by id.

In: `00_sources/seed_tasks/<language>.jsonl` with `source.yaml` beside them, which pins every file.
Out: the seeds of each language, or a SourceError that names the file and line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from polylm_core.errors import ParamsError, Problem, SourceError
from polylm_core.languages import ENGLISH
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.storage import fingerprint, sha256_file
from polylm_core.yaml_files import describe_validation, read_yaml

FOLDER = "seed_tasks"
SELF_INSTRUCT_ALONE = {"instances", "name", "is_classification"}
"""Columns of Self-Instruct's form (Wang et al. 2023), which Alpaca's seeds have too."""


class Seed(BaseModel):
    """One seed task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    """The same in every language."""
    instruction: str = Field(min_length=1)
    input: str
    """Empty when the instruction needs none."""
    output: str = Field(min_length=1)
    keep: bool
    """Input and output are the same in every language (PolyLM App. A: code, translation)."""

    @model_validator(mode="before")
    @classmethod
    def _first_instance(cls, row: object) -> object:
        """Take the form that Self-Instruct and Alpaca publish, of several instances the first.

        What else it has, `name` and `is_classification`, is about how they asked.
        """
        if not isinstance(row, dict) or "instances" not in row:
            return row
        instances = row["instances"]
        if not isinstance(instances, list) or not instances or not isinstance(instances[0], dict):
            raise ValueError("instances: a list of objects with input and output")
        left = {key: value for key, value in row.items() if key not in SELF_INSTRUCT_ALONE}
        return {"keep": False} | left | instances[0]

    @property
    def question(self) -> str:
        """What a user would write."""
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction


class _File(BaseModel):
    sha256: str


class _Declaration(BaseModel):
    licence: str
    files: dict[str, _File]


class SeedTasks(BaseModel):
    """All seeds by language."""

    model_config = ConfigDict(frozen=True)

    license: str
    by_language: dict[str, tuple[Seed, ...]]
    fingerprint: str
    """Identity of the declaration, and so of every file."""
    translated: dict[str, str] = {}
    """Languages whose seeds were translated from English, and what these may be used for."""

    def license_of(self, language: str) -> str:
        """What the seeds of a language may be used for."""
        return self.translated.get(language, self.license)


def needed_seeds(config: InstructConfig, sources: Path) -> SeedTasks | None:
    """Read the seeds that the parameters need, none where they need none.

    Raises ParamsError for languages to write in that have no seeds and get none by translation, or
    to translate into that have some; SourceError for seeds that are not there or not as declared.
    """
    if config.taco is None and config.self_instruct is None:
        return None
    seeds = read_seeds(sources)
    translated = () if config.translate is None else config.translate.languages
    if translated and ENGLISH not in seeds.by_language:
        raise SourceError(
            f"there are no seed tasks in {ENGLISH} to be translated; add them, or take "
            "`instruct.translate` out of the params"
        )
    _require(config, set(seeds.by_language), translated)
    return seeds


def _require(config: InstructConfig, own: set[str], translated: Collection[str]) -> None:
    """Raise ParamsError for languages without seeds, and for those that would have two sets."""
    written = () if config.self_instruct is None else config.self_instruct.languages
    problems = [
        Problem(
            f"instruct.self_instruct.languages.{index}",
            "has no seed tasks; add a file of them, or name it in `instruct.translate.languages`",
            language,
        )
        for index, language in enumerate(written)
        if language not in own and language not in translated
    ]
    problems += [
        Problem(f"instruct.translate.languages.{index}", "has seed tasks of its own", language)
        for index, language in enumerate(translated)
        if language in own
    ]
    if problems:
        raise ParamsError("the recipe", problems)


def read_seeds(sources: Path) -> SeedTasks:
    """Read and verify the seed tasks; raises SourceError."""
    folder = sources / FOLDER
    content, declaration = _read_declaration(folder / "source.yaml")
    by_language = {}
    for name, declared in sorted(declaration.files.items()):
        file = folder / name
        seen = sha256_file(file) if file.is_file() else "missing"
        if seen != declared.sha256:
            raise SourceError(
                f"{file}: sha256 is {seen}, source.yaml declares {declared.sha256}; "
                "restore the file, or correct the declaration"
            )
        by_language[file.stem] = tuple(_read_file(file))
    return SeedTasks(
        license=declaration.licence, by_language=by_language, fingerprint=fingerprint(content)
    )


def _read_declaration(path: Path) -> tuple[Mapping[str, object], _Declaration]:
    try:
        content = read_yaml(path)
        return content, _Declaration.model_validate(content)
    except FileNotFoundError as error:
        raise SourceError(
            f"{path}: missing; self-instruct and TaCo need the seed tasks, restore them or leave "
            "both out of the recipe's `instruct` section"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: not YAML ({error}); correct it") from error
    except ValidationError as error:
        raise SourceError(str(describe_validation(str(path), error))) from error


def _read_file(path: Path) -> Iterator[Seed]:
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            yield Seed.model_validate_json(line)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(map(str, problem["loc"])) or "the line"
            raise SourceError(
                f"{path}, line {number}: {where}: {problem['msg']}; a seed task is a JSON object "
                "with id, instruction, input, output and keep, or one of Self-Instruct's with "
                "id, instruction and instances"
            ) from error
