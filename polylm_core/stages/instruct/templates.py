"""The wording of tasks: which template, in whose language, with which names of languages.

The templates themselves are data (`templates.yaml`), a block a language, so that a speaker can
read and mend them. A language without a block gets its instructions in English.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict, Field

from polylm_core.languages import name_in

ENGLISH = "eng_Latn"


class Wording(BaseModel):
    """The templates written in one language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    into_self: tuple[str, ...] = ()
    into_other: str = ""
    continuation: str
    question: str
    answer: str


class Templates(BaseModel):
    """All of `templates.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    english: tuple[str, ...] = Field(min_length=12)
    by_language: Mapping[str, Wording]


@functools.cache
def load_templates() -> Templates:
    """Read the templates, once."""
    text = resources.files(__package__).joinpath("templates.yaml").read_text(encoding="utf-8")
    return Templates.model_validate(yaml.safe_load(text))


def has_wording(language: str) -> bool:
    """Whether instructions can be written in a language."""
    return language in load_templates().by_language


def word_translation(text: str, *, source: str, target: str, reader: str, draw: float) -> str:
    """Ask for `text` in `target`, in the language `reader`; `draw` in [0, 1) picks the wording."""
    if reader == ENGLISH:
        template = _pick(load_templates().english, draw)
    elif reader == target:
        template = _pick(load_templates().by_language[reader].into_self, draw)
    else:
        template = load_templates().by_language[reader].into_other
    return template.format(
        text=text, language=name_in(target, reader), source=name_in(source, reader)
    )


def _pick(templates: Sequence[str], draw: float) -> str:
    return templates[int(draw * len(templates))]
