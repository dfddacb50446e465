"""Whether a task is in its language, by line and by word.

The published recipe asks nothing of the kind (PolyLM §4), and teachers do slip into English. The
measures are those of the Language Confusion Benchmark (Marchisio et al. 2024, arXiv 2406.20052 §3):
the share of an answer's lines that are identified as the language, and of its words in the
language's script, which tells English words in Thai though the line as a whole passes.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from polylm_core.identify import can_identify, identify, is_in_language
from polylm_core.languages import SCRIPT_RANGES, get_language
from polylm_core.stages.instruct.config import LanguageCheckConfig
from polylm_core.stages.instruct.words import split_words

TASKS = "tasks checked"
LINES, LINES_IN_LANGUAGE = "lines checked", "lines in the language"
WORDS, WORDS_IN_SCRIPT = "words checked", "words in the script"
MEASURES = (TASKS, LINES, LINES_IN_LANGUAGE, WORDS, WORDS_IN_SCRIPT)
"""What the funnel's measures are called."""


class Measured(NamedTuple):
    """What was found of a task, and whether it is enough."""

    is_in: bool
    lines: int
    """Of the answer, long enough to be identified."""
    lines_in_language: int
    words: int
    """Of the answer, with letters."""
    words_in_script: int

    def counts(self) -> dict[str, int]:
        """By the names of the measures."""
        return dict(zip(MEASURES, (1, *self[1:]), strict=True))


def measure(language: str, instruction: str, output: str, config: LanguageCheckConfig) -> Measured:
    """Judge whether a task as a whole, its answer, and enough of its lines and words are in it."""
    texts = [f"{instruction} {output}"]
    if _letters(output) >= config.min_letters:
        texts.append(output)
    lines, in_language = _lines(output, language, config)
    words, in_script = _words(output, language)
    return Measured(
        all(_is_surely(text, language, config) for text in texts)
        and _rate(in_language, lines) >= config.min_line_pass_rate
        and _rate(in_script, words) >= config.min_word_pass_rate,
        lines,
        in_language,
        words,
        in_script,
    )


def is_in(language: str, instruction: str, output: str, config: LanguageCheckConfig) -> bool:
    """Whether a task passes."""
    return measure(language, instruction, output, config).is_in


def line_pass_rate(text: str, language: str, config: LanguageCheckConfig) -> float:
    """Share of the lines long enough to be identified that are in the language; 1 without any."""
    lines, in_language = _lines(text, language, config)
    return _rate(in_language, lines)


def word_pass_rate(text: str, language: str) -> float:
    """Share of the words with letters that are in the language's script; 1 without any."""
    words, in_script = _words(text, language)
    return _rate(in_script, words)


def _rate(passed: int, judged: int) -> float:
    return passed / judged if judged else 1.0


def _lines(text: str, language: str, config: LanguageCheckConfig) -> tuple[int, int]:
    """Lines that can be identified, and those of them that are in the language."""
    lines = [line for line in text.splitlines() if _letters(line) >= config.min_letters]
    if not can_identify(language):
        return 0, 0
    return len(lines), sum(is_in_language(identify(line), language) for line in lines)


def _words(text: str, language: str) -> tuple[int, int]:
    """Words with letters, and those of them that are in the language's script."""
    letters = _letters_of(get_language(language).script)
    judged = [
        word if word.isalpha() else "".join(filter(str.isalpha, word))
        for word in split_words(text, language)
        if any(map(str.isalpha, word))
    ]
    passed = sum(letters.fullmatch(word) is not None for word in judged)
    return len(judged), passed


@functools.cache
def _letters_of(script: str) -> re.Pattern[str]:
    ranges = (f"{chr(low)}-{chr(high)}" for low, high in SCRIPT_RANGES[script])
    return re.compile(f"[{''.join(ranges)}]+")


def _is_surely(text: str, language: str, config: LanguageCheckConfig) -> bool:
    if not can_identify(language):
        return True
    return is_in_language(identify(text, min_confidence=config.min_confidence), language)


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))
