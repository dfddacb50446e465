"""A parameter that a message names to the user exists."""

from __future__ import annotations

import ast
import re
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from polylm_core.params import Params
from polylm_core.settings import Profile
from tests.architecture.closure import ROOT

SECTIONS = (*Params.model_fields, "training")
NAMED = re.compile(rf"(?<![\w./])({'|'.join(SECTIONS)})((?:\.[a-z_0-9]+(?:\[\])?)+)")
NO_PARAMETERS = {"report.html", "report.html.j2", "training.loop"}
"""Files and modules."""


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in an annotation, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in _models(inner)]


def exists(models: Sequence[type[BaseModel]], path: Sequence[str]) -> bool:
    """Whether one of these models has a field with this path; a mapping may have any keys."""
    fields = [model.model_fields[path[0]] for model in models if path[0] in model.model_fields]
    if len(path) == 1:
        return bool(fields)
    below = [_models(field.annotation) for field in fields]
    return any(not inner or exists(inner, path[1:]) for inner in below)


def unknown(source: str) -> Iterator[str]:
    """Yield the parameters in a module's texts that are none."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for section, rest in NAMED.findall(node.value):
                name = f"{section}{rest}"
                model = Profile if section == "training" else Params
                path = name.replace("[]", "").split(".")
                if name not in NO_PARAMETERS and not exists([model], path):
                    yield name


def test_every_parameter_that_is_named_exists() -> None:
    files: list[Path] = sorted((ROOT / "polylm_core").rglob("*.py"))
    found = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in files
        for name in unknown(file.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_a_planted_name_is_found() -> None:
    texts = ("raise curate.held_out_share", "raise curate.held_out.share", "training.workres")
    assert list(unknown("\n".join(map(repr, texts)))) == [
        "curate.held_out_share",
        "training.workres",
    ]
    assert list(unknown("'lower mix.stages[].tokens or mix.stages[].token'")) == [
        "mix.stages[].token"
    ]
