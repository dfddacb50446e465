"""What a key that nobody knows was meant to be: the nearest that stands there in the model.

Not in `yaml_files.py`, which stages read too: a better message is no reason to run one again.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from polylm_core.errors import Problem

UNKNOWN = "Extra inputs are not permitted"
"""Pydantic's words for a key that a model does not have."""
MAX_KNOWN = 12
"""Keys that are listed where none is near."""


def with_nearest(problems: Sequence[Problem], model: type[BaseModel]) -> list[Problem]:
    """Return the problems of a file of this model, saying of unknown keys which ones there are."""
    return [
        Problem(problem.location, _meant(problem.location, model), problem.value)
        if problem.message == UNKNOWN
        else problem
        for problem in problems
    ]


def _meant(location: str, model: type[BaseModel]) -> str:
    *parents, key = location.split(".")
    known = _known(parents, model)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if close:
        return f"is no parameter; did you mean {close[0]}?"
    shown = ", ".join(known[:MAX_KNOWN]) + (", ..." if len(known) > MAX_KNOWN else "")
    return f"is no parameter; known here: {shown or 'none'}"


def _known(parents: Sequence[str], model: type[BaseModel]) -> list[str]:
    """The keys of the models that may stand under a path; its numbers and free keys lead on."""
    models = [model]
    for part in parents:
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        if fields:
            models = [inner for field in fields for inner in _models(field.annotation)]
    return sorted({name for each in models for name in each.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in _models(inner)]
