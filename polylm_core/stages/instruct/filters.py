"""What of a teacher's answer becomes a task, and why the rest does not.

The order is MultiAlpaca's (PolyLM §4): form, web links, redundancy of instruction and input,
novelty against every instruction known. Three rules are ours, because a small teacher needs them
and the paper's did not: the answer has to be in the language, must not loop, must not echo.

Words for ROUGE-L are runs of word characters, or single characters where no spaces stand between
words (the paper used KyTea, Okt and a Thai tokenizer there, which are no dependencies of ours).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

from rouge_score.rouge_scorer import RougeScorer

from polylm_core.identify import identify, is_in_language
from polylm_core.languages import get_language
from polylm_core.stages.instruct.config import SelfInstructConfig

NO_INPUT = "<noinput>"
FIELDS = ("Instruction", "Input", "Output")

MIN_LETTERS_TO_IDENTIFY = 20
"""A shorter answer is identified together with its instruction only."""
MIN_CONFIDENCE = 0.5
"""Of lid.176; what a small teacher makes up of words of several languages is below."""
MIN_DISTINCT_SHARE = 0.5
"""Distinct words of an answer below which it loops, from `MIN_WORDS_TO_LOOP` words on."""
MIN_WORDS_TO_LOOP = 8

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


def parse_answer(text: str, *, is_complete: bool) -> tuple[list[Task], list[str]]:
    """Split an answer on its labels into whole tasks, and the reasons of those that are not.

    An answer cut off by the length limit loses its last task. Text after a blank line is talk.
    """
    starts = list(_LABEL.finditer(text))
    ends = [match.start() for match in starts[1:]] + [len(text)]
    blocks: list[dict[str, str]] = []
    for match, end in zip(starts, ends, strict=True):
        value = _BLANK_LINE.split(text[match.end() : end].strip(), maxsplit=1)[0].strip()
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


def judge(
    task: Task, known: Iterable[str], language: str, config: SelfInstructConfig
) -> tuple[Task, str | None]:
    """Return the task as it would be kept, and the reason to drop it, if there is one.

    `known` are the instructions that a new one must differ from.
    """
    if task.input and task.input in task.instruction:
        task = replace(task, input="")
    return task, _reason(task, known, language, config)


def _reason(
    task: Task, known: Iterable[str], language: str, config: SelfInstructConfig
) -> str | None:
    limit = config.max_redundancy_by_language.get(language, config.max_redundancy)
    if any(_LINK.search(text) for text in (task.instruction, task.input, task.output)):
        return "link"
    if task.output in (task.instruction, task.input):
        return "echo"
    if _loops(task.output, language):
        return "loop"
    if task.input and rouge_l(task.instruction, task.input, language) > limit:
        return "redundant-input"
    if not _is_in(language, task):
        return "other-language"
    if any(rouge_l(task.instruction, old, language) >= config.max_similarity for old in known):
        return "not-novel"
    return None


def _loops(text: str, language: str) -> bool:
    words = split_words(text, language)
    return len(words) >= MIN_WORDS_TO_LOOP and len(set(words)) < MIN_DISTINCT_SHARE * len(words)


def split_words(text: str, language: str) -> list[str]:
    """Lowercase words of a text, or its characters where no spaces stand between words."""
    words = re.findall(r"\w+", text.lower())
    if get_language(language).words == "spaces":
        return words
    return [character for word in words for character in word]


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


def _is_in(language: str, task: Task) -> bool:
    """Whether the task as a whole, and an answer long enough to tell, are in the language."""
    texts = [f"{task.instruction} {task.output}"]
    if sum(character.isalpha() for character in task.output) >= MIN_LETTERS_TO_IDENTIFY:
        texts.append(task.output)
    return all(
        is_in_language(identify(text, min_confidence=MIN_CONFIDENCE), language) for text in texts
    )
