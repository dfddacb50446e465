"""A teacher's answer split into tasks, on the labels of its language or the English ones.

The prompt shows English labels, but a teacher that writes in Russian may well go on with
`4. Инструкция:`. What it may write is data (`labels.yaml`): labels by language, what stands after a
number, and how it says that there is no input.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict, Field

from polylm_core.languages import ENGLISH

NO_INPUT = "<noinput>"
FIELDS = ("instruction", "input", "output")

_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_SPACE = r"[ \t\u00a0\u202f\u200e\u200f]*"


@dataclass(frozen=True, slots=True)
class Task:
    """One task: a seed, or what a teacher wrote."""

    instruction: str
    input: str
    output: str


class Labels(BaseModel):
    """What the parts of a task are called in one language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instruction: tuple[str, ...] = Field(min_length=1)
    input: tuple[str, ...] = Field(min_length=1)
    output: tuple[str, ...] = Field(min_length=1)
    no_input: tuple[str, ...] = Field(min_length=1)

    def of(self, part: str) -> tuple[str, ...]:
        """The labels of one part."""
        labels: tuple[str, ...] = getattr(self, part)
        return labels


class LabelFile(BaseModel):
    """All of `labels.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    marks: tuple[str, ...]
    by_language: Mapping[str, Labels]


@dataclass(frozen=True, slots=True)
class _Grammar:
    label: re.Pattern[str]
    parts: Mapping[str, str]
    """Which part a label stands for."""
    no_input: re.Pattern[str]


@functools.cache
def load_labels() -> LabelFile:
    """Read the labels, once."""
    text = resources.files(__package__).joinpath("labels.yaml").read_text(encoding="utf-8")
    return LabelFile.model_validate(yaml.safe_load(unicodedata.normalize("NFC", text)))


@functools.cache
def _grammar(language: str) -> _Grammar:
    file = load_labels()
    spoken = [file.by_language[ENGLISH]]
    if language in file.by_language:
        spoken.append(file.by_language[language])
    parts = {label: part for part in FIELDS for labels in spoken for label in labels.of(part)}
    names = "|".join(re.escape(label) for label in sorted(parts, key=len, reverse=True))
    marks = "|".join(map(re.escape, file.marks))
    number = rf"(?:[(（\[]?\d+{_SPACE}(?:{marks})\**{_SPACE})?"
    label = rf"^{_SPACE}(?:#+{_SPACE})?\**{_SPACE}{number}\**({names})\**{_SPACE}[:：]\**"
    none = "|".join(re.escape(text) for labels in spoken for text in labels.no_input)
    return _Grammar(
        label=re.compile(label, re.MULTILINE),
        parts=parts,
        no_input=re.compile(rf"\W*(?:{none})\W*", re.IGNORECASE),
    )


def continued(text: str, opening: str, language: str) -> str:
    """The list from `opening` on, which models that chat often write once more."""
    begun = _grammar(language).label.match(unicodedata.normalize("NFC", text.lstrip()))
    return text if begun is not None else opening + text


def parse_answer(
    text: str, *, is_complete: bool, ends_at_blank_line: bool, language: str = ENGLISH
) -> tuple[list[Task], list[str]]:
    """Split an answer on its labels into whole tasks, and the reasons of those that are not.

    An answer cut off by the length limit loses its last task. With `ends_at_blank_line`, what
    follows a blank line within a part is talk.
    """
    grammar = _grammar(language)
    text = unicodedata.normalize("NFC", text)
    starts = list(grammar.label.finditer(text))
    ends = [*(match.start() for match in starts[1:]), len(text)][: len(starts)]
    blocks: list[dict[str, str]] = []
    for match, end in zip(starts, ends, strict=True):
        value = text[match.end() : end].strip()
        if ends_at_blank_line:
            value = _BLANK_LINE.split(value, maxsplit=1)[0].strip()
        part = grammar.parts[match.group(1)]
        if part == FIELDS[0] or not blocks or part in blocks[-1]:
            blocks.append({})
        blocks[-1][part] = value
    reasons = []
    if not is_complete and blocks:
        blocks.pop()
        reasons.append("cut-off")
    tasks = []
    for block in blocks:
        if tuple(block) == FIELDS and all(block.values()):
            entry = "" if grammar.no_input.fullmatch(block["input"]) else block["input"]
            tasks.append(Task(block["instruction"], entry, block["output"]))
        else:
            reasons.append("incomplete")
    return tasks, reasons
