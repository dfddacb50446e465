"""The wording of tasks: which template, in whose language, with which names of languages.

The templates themselves are data (`templates.yaml`), a block a language, so that a speaker can
read and mend them. A hub language can ask for any two languages, in several forms; another
language asks for itself, or names the language wanted. A language without a block gets its
instructions in English.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from polylm_core.languages import name_in

ENGLISH = "eng_Latn"
MIN_HUB_TEMPLATES = 12
NUM_ABOUT = 3


class HubWording(BaseModel):
    """The translation templates of a hub language, by form, for any two languages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: tuple[str, ...] = Field(min_length=1)
    text_first: tuple[str, ...] = Field(min_length=1)
    labelled: tuple[str, ...] = Field(min_length=1)
    explained: tuple[str, ...] = Field(min_length=1)
    completion: tuple[str, ...] = Field(min_length=1)
    next: tuple[str, ...] = Field(min_length=1)
    back: tuple[str, ...] = Field(min_length=1)

    @property
    def first_turn(self) -> tuple[str, ...]:
        """All that can begin a chat."""
        return (
            *self.request,
            *self.text_first,
            *self.labelled,
            *self.explained,
            *self.completion,
        )

    @model_validator(mode="after")
    def _enough(self) -> HubWording:
        if len(set(self.first_turn)) < MIN_HUB_TEMPLATES:
            raise ValueError(f"a hub has at least {MIN_HUB_TEMPLATES} templates")
        return self


class Wording(BaseModel):
    """The templates written in one language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    into_self: tuple[str, ...] = ()
    into_other: str = ""
    next: str = ""
    continuation: str
    question: str
    answer: str
    about: tuple[str, ...] = Field(min_length=NUM_ABOUT, max_length=NUM_ABOUT)


class Templates(BaseModel):
    """All of `templates.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hubs: Mapping[str, HubWording]
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
    hub = load_templates().hubs.get(reader)
    if hub is not None:
        template = _pick(hub.first_turn, draw)
    elif reader == target:
        template = _pick(load_templates().by_language[reader].into_self, draw)
    else:
        template = load_templates().by_language[reader].into_other
    return _filled(template, text, source=source, target=target, reader=reader)


def word_next(text: str, *, source: str, target: str, reader: str, draw: float) -> str:
    """Ask in a later turn for another text, in the same direction."""
    hub = load_templates().hubs.get(reader)
    own = load_templates().by_language[reader].next
    template = own if hub is None else _pick(hub.next, draw)
    return _filled(template, text, source=source, target=target, reader=reader)


def word_back(text: str, *, source: str, target: str, reader: str, draw: float) -> str:
    """Ask in a later turn for another text, in the other direction."""
    hub = load_templates().hubs.get(reader)
    if hub is None:  # in full, because it is short enough
        return word_translation(text, source=source, target=target, reader=reader, draw=draw)
    return _filled(_pick(hub.back, draw), text, source=source, target=target, reader=reader)


def word_about(heading: str, *, reader: str, draw: float) -> str:
    """Ask what is said under a heading; the same draw asks the same in every language."""
    return _pick(load_templates().by_language[reader].about, draw).format(text=heading)


def _filled(template: str, text: str, *, source: str, target: str, reader: str) -> str:
    return template.format(
        text=text, language=name_in(target, reader), source=name_in(source, reader)
    )


def _pick(templates: Sequence[str], draw: float) -> str:
    return templates[int(draw * len(templates))]
