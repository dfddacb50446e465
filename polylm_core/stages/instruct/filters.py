"""Which tasks of a teacher's answer are kept, and why the rest is not.

The published filters are MultiAlpaca's (PolyLM §4): the answer is split on its numbered labels, its
last task dropped if it hit the length limit, and all three parts required (`cut-off`,
`incomplete`: `answers`); then `link`, `redundant-input` and `not-novel`, in `RULES` with what the
paper lacks: an answer must not echo, must not loop, and must be in the language.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from rouge_score.rouge_scorer import RougeScorer

from polylm_core import pii
from polylm_core.stages.instruct.answers import Task
from polylm_core.stages.instruct.config import SelfInstructConfig
from polylm_core.stages.instruct.language_check import measure
from polylm_core.stages.instruct.novelty import NoveltyIndex
from polylm_core.stages.instruct.words import split_words, wording

TASKS_MASKED = "tasks with personal data"
MIN_WORDS_TO_LOOP = 8
"""Shorter answers may repeat their words."""
PUBLISHED = ("incomplete", "link", "redundant-input", "not-novel")
"""Reasons of the filters of PolyLM §4, beside `cut-off` of an answer's last task."""

_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)


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
        self.measures = Counter[str]()
        """What the language check measured of the tasks that came to it."""
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


def masked(task: Task, language: str) -> tuple[Task, Counter[str]]:
    """The task with placeholders for personal data, and how many of each, by their measure."""
    regions = pii.regions_of(language)
    found = Counter[str]()
    texts = []
    for text in (task.instruction, task.input, task.output):
        shown, counts = pii.mask(text, regions)
        texts.append(shown)
        found.update({f"{placeholder} masked": count for placeholder, count in counts.items()})
    if found:
        found[TASKS_MASKED] += 1
    return Task(*texts), found


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
    if check is None:
        return False
    found = measure(sieve.language, task.instruction, task.output, check)
    sieve.measures.update(found.counts())
    return not found.is_in


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
