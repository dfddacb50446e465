"""What a teacher is asked: a list of tasks to be continued, as in PolyLM's Table 6."""

from __future__ import annotations

from collections.abc import Sequence

from polylm_core.languages import get_language
from polylm_core.stages.instruct.answers import NO_INPUT, Task
from polylm_core.stages.instruct.config import SelfInstructConfig

NUM_DEMONSTRATIONS = 3
"""Two seeds and one task of the pool (PolyLM §4)."""
OPENING = f"{NUM_DEMONSTRATIONS + 1}. Instruction:"
"""Where the teacher goes on."""

SHORT = (
    "Come up with {number} different tasks in {language}. Instruction, input (or {none}) and "
    "output are all in {language}.\n\n"
)
"""What a small teacher can follow."""
PUBLISHED = """\
Write a series of {number} different tasks for a language model, which we will use to judge it. \
Keep to these rules:
1. Begin each instruction with another verb, so that the tasks differ as much as they can.
2. Word the instructions in different ways: mix questions with commands.
3. Ask for different kinds of work: open generation, classification, rewriting, extraction...
4. A model that reads and writes text must be able to do it: no pictures, sounds or reminders.
5. Instruction, input and output are in {language}.
6. An instruction is one or two sentences long.
7. Give a fitting input with real content, no mere placeholder, of at most 100 words. Not every \
task needs one: where a general question is asked, write {none} instead.
8. The output answers instruction and input, in less than 200 words.

List of {number} tasks:
"""
"""The rules of PolyLM's Table 6, in other words."""


def compose(shown: Sequence[Task], language: str, config: SelfInstructConfig) -> str:
    """Write the rules and the tasks shown, and open the next one."""
    rules = PUBLISHED if config.prompt_rules == "published" else SHORT
    asked = rules.format(
        number=len(shown) + config.tasks_per_prompt,
        language=get_language(language).english_name,
        none=NO_INPUT,
    )
    tasks = "".join(_write(number, task) for number, task in enumerate(shown, start=1))
    return f"{asked}{tasks}{OPENING}"


def _write(number: int, task: Task) -> str:
    return (
        f"{number}. Instruction: {task.instruction}\n"
        f"{number}. Input: {task.input or NO_INPUT}\n"
        f"{number}. Output: {task.output}\n"
    )
