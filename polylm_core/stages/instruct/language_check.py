"""Whether a task is in its language, by line and by word.

The published recipe asks nothing of the kind (PolyLM §4), and teachers do slip into English. The
measures are those of the Language Confusion Benchmark (Marchisio et al. 2024, arXiv 2406.20052 §3):
the share of an answer's lines that are identified as the language, and of its words in the
language's script, which tells English words in Thai though the line as a whole passes.
"""

from __future__ import annotations

from polylm_core.identify import can_identify, identify, is_in_language
from polylm_core.languages import SCRIPT_RANGES, get_language
from polylm_core.stages.instruct.config import LanguageCheckConfig
from polylm_core.stages.instruct.words import split_words


def is_in(language: str, instruction: str, output: str, config: LanguageCheckConfig) -> bool:
    """Whether a task as a whole, its answer, and enough of the answer's lines and words are."""
    texts = [f"{instruction} {output}"]
    if _letters(output) >= config.min_letters:
        texts.append(output)
    return (
        all(_is_surely(text, language, config) for text in texts)
        and line_pass_rate(output, language, config) >= config.min_line_pass_rate
        and word_pass_rate(output, language) >= config.min_word_pass_rate
    )


def line_pass_rate(text: str, language: str, config: LanguageCheckConfig) -> float:
    """Share of the lines long enough to be identified that are in the language; 1 without any."""
    lines = [line for line in text.splitlines() if _letters(line) >= config.min_letters]
    if not lines or not can_identify(language):
        return 1.0
    return sum(is_in_language(identify(line), language) for line in lines) / len(lines)


def word_pass_rate(text: str, language: str) -> float:
    """Share of the words with letters that are in the language's script; 1 without any."""
    ranges = SCRIPT_RANGES[get_language(language).script]
    words = [
        [ord(character) for character in word if character.isalpha()]
        for word in split_words(text, language)
    ]
    judged = [points for points in words if points]
    passed = sum(
        all(any(low <= point <= high for low, high in ranges) for point in points)
        for points in judged
    )
    return passed / len(judged) if judged else 1.0


def _is_surely(text: str, language: str, config: LanguageCheckConfig) -> bool:
    if not can_identify(language):
        return True
    return is_in_language(identify(text, min_confidence=config.min_confidence), language)


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))
