"""The reference of `params.yaml` and of profiles as Markdown, from the configurations themselves.

Every field's docstring, type, bounds and default come from the pydantic models, so
`docs/params.md` cannot say anything else than what is checked.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from polylm_core.params import Params
from polylm_core.settings import Profile

HEAD = """# Parameters

Made from the code by `polylm params > docs/params.md`; edit the docstrings of
`polylm_core/stages/*/config.py`, `polylm_core/teachers/config.py`,
`polylm_core/translators/config.py` and `polylm_core/settings.py` instead of this file.

Everything in `params.yaml` changes the identity of a result. Where and how wide a run is executed
is in a [profile](#profile).
"""
PROFILE = """## Profile

A file of `infra/profiles/`, chosen by `POLYLM_PROFILE` (default `laptop`). Nothing in it changes
the identity of a result.
"""
SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def markdown() -> str:
    """Return the whole reference."""
    top = [
        (name, field)
        for name, field in Params.model_fields.items()
        if not _model(field) and not _alternatives(field.annotation)
    ]
    parts = [HEAD, "## All stages\n", _table([_row(name, field) for name, field in top])]
    for name, field in Params.model_fields.items():
        model = _model(field)
        if model is not None:
            parts += [f"## `{name}`\n", _summary(model) + "\n", _table(list(_rows(model, "")))]
            parts += _choices(name, model)
        for number, choice in enumerate(_alternatives(field.annotation)):
            parts += [f"## `{name}`{', or' if number else ''}\n", _summary(choice) + "\n"]
            parts += [_table(list(_rows(choice, ""))), *_choices(name, choice)]
    parts += [PROFILE, _table(list(_rows(Profile, ""))), *_choices("profile", Profile)]
    return "\n".join(part for part in parts if part)


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Yield a row for each field, those of nested models right below theirs.

    A field that takes one model of several is left to `_choices`.
    """
    for name, field in model.model_fields.items():
        nested = _model(field)
        yield _row(prefix + name, field)
        if nested is not None:
            many = "[]" if nested is not field.annotation else ""
            yield from _rows(nested, f"{prefix}{name}{many}.")


def _choices(section: str, model: type[BaseModel]) -> Iterator[str]:
    """Yield a chapter for each model that a field of the section, at any depth, may hold."""
    for name, field in model.model_fields.items():
        nested = _model(field)
        if nested is not None:
            yield from _choices(f"{section}.{name}", nested)
        for choice in _alternatives(field.annotation):
            tag = ", ".join(
                f"{key}: {value}"
                for key, inner in choice.model_fields.items()
                if typing.get_origin(inner.annotation) is typing.Literal
                for value in typing.get_args(inner.annotation)
                if inner.is_required() and len(typing.get_args(inner.annotation)) == 1
            )
            yield f"### `{section}.{name}` with `{tag}`\n"
            yield _summary(choice) + "\n"
            yield _table(list(_rows(choice, "")))


def _row(path: str, field: FieldInfo) -> str:
    nested = _model(field)
    text = field.description or (_summary(nested) if nested is not None else "")
    cells = (f"`{path}`", _type(field), _default(field), " ".join(text.split()))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _table(lines: list[str]) -> str:
    head = "| parameter | type | default | meaning |\n|---|---|---|---|\n"
    return head + "\n".join(lines) + "\n" if lines else ""


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _model(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model a field holds, alone or as the items of a tuple or mapping; none if several.

    Those are left to `_choices`.
    """
    if _alternatives(field.annotation):
        return None
    for candidate in (field.annotation, *typing.get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _alternatives(annotation: Any) -> list[type[BaseModel]]:
    """Return the models of a union in an annotation, at any depth; none where there is no union."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _alternatives(inner[0])
    members = [_bare(each) for each in inner]
    models = [each for each in members if isinstance(each, type) and issubclass(each, BaseModel)]
    if origin in (typing.Union, types.UnionType) and len(models) > 1:
        return models
    return [model for each in inner for model in _alternatives(each)]


def _bare(annotation: Any) -> Any:
    """Return a type without what is annotated of it."""
    is_annotated = typing.get_origin(annotation) is typing.Annotated
    return typing.get_args(annotation)[0] if is_annotated else annotation


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(bound, name):,}"
        for bound in field.metadata
        for name, sign in SIGNS.items()
        if getattr(bound, name, None) is not None
    ]
    return ", ".join([_name(field.annotation), *bounds])


def _name(annotation: Any) -> str:
    """Return a type in words a YAML author knows."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _name(inner[0])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_name(part) for part in inner))
    if origin is tuple:
        return (
            f"list of {_name(inner[0])}"
            if inner[-1] is ...
            else f"{len(inner)} of {_name(inner[0])}"
        )
    if origin is not None and len(inner) == 2:
        return f"{_name(inner[0])} to {_name(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    words = {str: "text", int: "integer", float: "number", bool: "yes or no", type(None): "null"}
    return words.get(annotation, "any")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value = to_jsonable_python(field.get_default(call_default_factory=True))
    return f"`{json.dumps(value, ensure_ascii=False)}`"
