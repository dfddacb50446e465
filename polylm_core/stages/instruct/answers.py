"""A teacher's answer split into tasks, on the labels of its language or the English ones.

The prompt shows English labels, but a teacher that writes in Russian may well go on with
`4. Инструкция:`. What it may write is data (`labels.yaml`): labels by language, what stands after a
number, and how it says that there is no input.

A line of a task's own text may look like a label: recipes have "Instrucciones:", programs "Input:".
Where the first label of a part has a number, a line without one is text. Otherwise a label that is
not where one can be makes its task incomplete: none is kept that may end too early.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict, Field

from polylm_core.languages import ENGLISH

NO_INPUT = "<noinput>"
FIELDS = ("instruction", "input", "output")
INSTRUCTION, INPUT, OUTPUT = FIELDS

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
    number = rf"(?:[(（\[]?(?P<number>\d{{1,6}}){_SPACE}(?:{marks})\**{_SPACE})?"
    label = rf"^{_SPACE}(?:#+{_SPACE})?\**{_SPACE}{number}\**(?P<name>{names})\**{_SPACE}[:：]\**"
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


@dataclass(frozen=True, slots=True)
class _Label:
    """A line that begins like a part of a task."""

    part: str
    number: int | None
    start: int
    end: int


@dataclass(slots=True)
class _Block:
    """The labels of one task, in their order."""

    labels: list[_Label] = field(default_factory=list)
    is_in_doubt: bool = False
    """It has a label that may be text, or ends at one."""

    def is_followed_by(self, label: _Label) -> bool:
        """Whether a label is that of the next part."""
        place = FIELDS.index(self.labels[-1].part) + 1
        return place < len(FIELDS) and label.part == FIELDS[place]

    def is_before(self, label: _Label) -> bool:
        """Whether a label is of the task that the numbers say is next."""
        own = self.labels[0].number
        return own is not None and label.number is not None and label.number > own

    def is_after(self, label: _Label) -> bool:
        """Whether the numbers begin anew."""
        own = self.labels[0].number
        return own is not None and label.number is not None and label.number < own


def parse_answer(
    text: str, *, is_complete: bool, ends_at_blank_line: bool, language: str = ENGLISH
) -> tuple[list[Task], list[str]]:
    """Split an answer on its labels into whole tasks, and the reasons of those that are not.

    An answer cut off by the length limit loses its last task. With `ends_at_blank_line`, what
    follows a blank line within a part is talk.
    """
    grammar = _grammar(language)
    text = unicodedata.normalize("NFC", text)
    blocks = _blocks(_found(text, grammar))
    labels = [label for block in blocks for label in block.labels]
    ends = [*(label.start for label in labels[1:]), len(text)][: len(labels)]
    values = {}
    for label, end in zip(labels, ends, strict=True):
        value = text[label.end : end].strip()
        if ends_at_blank_line:
            value = _BLANK_LINE.split(value, maxsplit=1)[0].strip()
        values[label] = value
    reasons = []
    if not is_complete and blocks:
        blocks.pop()
        reasons.append("cut-off")
    tasks = []
    for block in blocks:
        parts = [values[label] for label in block.labels]
        if len(parts) == len(FIELDS) and all(parts) and not block.is_in_doubt:
            entry = "" if grammar.no_input.fullmatch(parts[1]) else parts[1]
            tasks.append(Task(parts[0], entry, parts[2]))
        else:
            reasons.append("incomplete")
    return tasks, reasons


def _found(text: str, grammar: _Grammar) -> list[_Label]:
    return [
        _Label(
            part=grammar.parts[match["name"]],
            number=None if match["number"] is None else int(match["number"]),
            start=match.start(),
            end=match.end(),
        )
        for match in grammar.label.finditer(text)
    ]


def _blocks(found: Sequence[_Label]) -> list[_Block]:
    """Put the labels of each task together, and leave out those that are text."""
    first: dict[str, bool] = {}
    for label in found:
        first.setdefault(label.part, label.number is not None)
    numbered = {part for part, is_numbered in first.items() if is_numbered}
    blocks: list[_Block] = []
    for place, label in enumerate(found):
        after = found[place + 1 : place + len(FIELDS)]
        block = blocks[-1] if blocks else None
        if block is not None and label.number is None and label.part in numbered:
            if not _is_unnumbered_task(label, after):
                continue
            if numbered != {INSTRUCTION}:  # one who stops to number, or a task about tasks
                block.is_in_doubt = True
                continue
        if label.part == INSTRUCTION:
            if block is not None and not _begins_a_task(label, after, block):
                block.is_in_doubt = True
            blocks.append(_Block([label]))
        elif block is not None and block.is_followed_by(label):
            block.labels.append(label)
        elif block is None or block.is_before(label):
            blocks.append(_Block([label], is_in_doubt=True))
        else:
            block.is_in_doubt = True
    return blocks


def _is_unnumbered_task(label: _Label, after: Sequence[_Label]) -> bool:
    """Whether all parts of a task follow each other without a number."""
    labels = [label, *after]
    return tuple(each.part for each in labels) == FIELDS and not any(
        each.number is not None for each in labels
    )


def _begins_a_task(label: _Label, after: Sequence[_Label], block: _Block) -> bool:
    """Whether "Instruction" is surely no text of the task before: by its number, or what follows.

    A small teacher leaves out the input where there is none.
    """
    if block.is_before(label):
        return True
    return bool(after) and after[0].part != INSTRUCTION and not block.is_after(label)
