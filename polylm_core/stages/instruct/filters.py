"""What of a teacher's answer becomes a task, and why the rest does not.

The published filters are MultiAlpaca's (PolyLM §4): the answer is split on its numbered labels, its
last task dropped if it hit the length limit, and all three parts required (`cut-off`,
`incomplete`); then `link`, `redundant-input` and `not-novel`, in `RULES` with what the paper lacks:
an answer must not echo, must not loop, and must be in the language.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from rouge_score.rouge_scorer import RougeScorer

from polylm_core import pii
from polylm_core.stages.instruct.config import SelfInstructConfig
from polylm_core.stages.instruct.language_check import is_in
from polylm_core.stages.instruct.novelty import NoveltyIndex
from polylm_core.stages.instruct.words import split_words, wording

NO_INPUT = "<noinput>"
FIELDS = ("Instruction", "Input", "Output")

MIN_WORDS_TO_LOOP = 8
"""Shorter answers may repeat their words."""
PUBLISHED = ("incomplete", "link", "redundant-input", "not-novel")
"""Reasons of the filters of PolyLM §4, beside `cut-off` of an answer's last task."""

_LABEL = re.compile(r"^[ \t]*(?:\d+\.[ \t]*)?(Instruction|Input|Output):", re.MULTILINE)
_NO_INPUT = re.compile(r"\W*no ?input\W*", re.IGNORECASE)
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


@dataclass(frozen=True, slots=True)
class Task:
    """One task: a seed, or what a teacher wrote."""

    instruction: str
    input: str
    output: str


def parse_answer(
    text: str, *, is_complete: bool, ends_at_blank_line: bool
) -> tuple[list[Task], list[str]]:
    """Split an answer on its labels into whole tasks, and the reasons of those that are not.

    An answer cut off by the length limit loses its last task. With `ends_at_blank_line`, what
    follows a blank line within a part is talk.
    """
    starts = list(_LABEL.finditer(text))
    ends = [match.start() for match in starts[1:]] + [len(text)]
    blocks: list[dict[str, str]] = []
    for match, end in zip(starts, ends, strict=True):
        value = text[match.end() : end].strip()
        if ends_at_blank_line:
            value = _BLANK_LINE.split(value, maxsplit=1)[0].strip()
        label = match.group(1)
        if label == FIELDS[0] or not blocks or label in blocks[-1]:
            blocks.append({})
        blocks[-1][label] = unicodedata.normalize("NFC", value)
    reasons = []
    if not is_complete and blocks:
        blocks.pop()
        reasons.append("cut-off")
    tasks = []
    for block in blocks:
        if tuple(block) == FIELDS and all(block.values()):
            entry = "" if _NO_INPUT.fullmatch(block["Input"]) else block["Input"]
            tasks.append(Task(block["Instruction"], entry, block["Output"]))
        else:
            reasons.append("incomplete")
    return tasks, reasons


class Sieve:
    """The filters of one language, and the instructions that a new one must differ from."""

    def __init__(
        self,
        language: str,
        config: SelfInstructConfig,
        known: Iterable[str] = (),
        reasons: Iterable[str] | None = None,
    ) -> None:
        """Take the instructions known; with `reasons`, apply only the rules that give them."""
        self.language, self.config = language, config
        self._novelty = NoveltyIndex(config.max_similarity)
        applied = RULES if reasons is None else frozenset(reasons)
        self._rules = [(reason, fails) for reason, fails in RULES.items() if reason in applied]
        for instruction in known:
            self.learn(instruction)

    def learn(self, instruction: str) -> None:
        """Let an instruction join those that new ones must differ from."""
        self._novelty.add(split_words(instruction, self.language))

    def judge(self, task: Task) -> tuple[Task, str | None]:
        """The task as it would be kept, and the reason to drop it, if there is one."""
        if task.input and task.input in task.instruction:
            task = replace(task, input="")
        return task, next((reason for reason, fails in self._rules if fails(self, task)), None)

    def nearest(self, instruction: str) -> int | None:
        """The number of the first instruction learned that is too near, from 0."""
        return self._novelty.nearest(split_words(instruction, self.language))


def masked(task: Task, language: str) -> Task:
    """The task with placeholders for personal data."""
    regions = pii.regions_of(language)
    return Task(
        *(pii.mask(text, regions)[0] for text in (task.instruction, task.input, task.output))
    )


def _is_incomplete(_: Sieve, task: Task) -> bool:
    return not (task.instruction.strip() and task.output.strip())


def _has_link(_: Sieve, task: Task) -> bool:
    return any(_LINK.search(text) for text in (task.instruction, task.input, task.output))


def _echoes(_: Sieve, task: Task) -> bool:
    return task.output in (task.instruction, task.input)


def _loops(sieve: Sieve, task: Task) -> bool:
    least = sieve.config.checks.min_distinct_share
    if not least:
        return False
    words = wording(split_words(task.output, sieve.language))
    return len(words) >= MIN_WORDS_TO_LOOP and len(set(words)) < least * len(words)


def _is_redundant(sieve: Sieve, task: Task) -> bool:
    config = sieve.config
    limit = config.max_redundancy_by_language.get(sieve.language, config.max_redundancy)
    return bool(task.input) and rouge_l(task.instruction, task.input, sieve.language) > limit


def _is_in_another_language(sieve: Sieve, task: Task) -> bool:
    check = sieve.config.checks.language
    return check is not None and not is_in(sieve.language, task.instruction, task.output, check)


def _is_known(sieve: Sieve, task: Task) -> bool:
    return sieve.nearest(task.instruction) is not None


RULES: Mapping[str, Callable[[Sieve, Task], bool]] = {
    "incomplete": _is_incomplete,
    "link": _has_link,
    "echo": _echoes,
    "loop": _loops,
    "redundant-input": _is_redundant,
    "other-language": _is_in_another_language,
    "not-novel": _is_known,
}
"""What drops a task, by reason, in this order: the first that applies is counted."""


class _Words:
    def __init__(self, language: str) -> None:
        self._language = language

    def tokenize(self, text: str) -> list[str]:
        return split_words(text, self._language)


@functools.cache
def _scorer(language: str) -> RougeScorer:
    return RougeScorer(["rougeL"], tokenizer=_Words(language))


def rouge_l(text: str, other: str, language: str) -> float:
    """ROUGE-L F of two texts."""
    return float(_scorer(language).score(text, other)["rougeL"].fmeasure)
