"""Language confusion: whether lines and words are in the language that was asked for.

The two rates of Marchisio et al. 2024 (arXiv 2406.20052), after their compute_metrics.py. Line pass
rate: the share of outputs of which every line of at least five words is identified as the language
asked for. Word pass rate: of those that pass, the share without an English word, for languages that
are not written in Latin letters. Two things differ here, as neither a dictionary nor a word
splitter is at hand in every run: any lower-case word of four Latin letters or more counts as
English, and a line without spaces between words is long enough with ten letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from polylm_core.identify import can_identify, identify, is_in_language
from polylm_core.languages import ENGLISH, get_language
from polylm_core.stages.evaluate.intervals import wilson
from polylm_core.stages.evaluate.tables import ALL_LANGUAGES, Answer, Score, Translation

SUITE = "language_confusion"
MIN_WORDS = 5
MIN_LETTERS = 10
"""Of a line in a language that puts no spaces between words: five words of two letters."""
MIN_CONFIDENCE = 0.3
"""A line that is identified with less is taken as one in another language."""
_LATIN_WORD = re.compile(r"(?<![A-Za-z0-9_./:@-])[a-z]{4,}(?![A-Za-z0-9_/:@]|[.-][A-Za-z0-9])")
"""In lower case as names are not, and no part of an address, a file's name or an identifier."""


def passes_lines(text: str, language: str) -> bool | None:
    """Whether every long enough line is in a language; none when there is no such line."""
    lines = [line for line in text.splitlines() if _is_long(line, language)]
    if not lines or not can_identify(language):
        return None
    labels = (identify(line, min_confidence=MIN_CONFIDENCE) for line in lines)
    return all(is_in_language(label, language) for label in labels)


def passes_words(text: str, language: str) -> bool | None:
    """Whether no line holds an English word; none for Latin scripts, or where a line is wrong."""
    if get_language(language).script == "Latn" or not passes_lines(text, language):
        return None
    lines = (line for line in text.splitlines() if _is_long(line, language))
    return not any(_LATIN_WORD.search(line) for line in lines)


def _is_long(line: str, language: str) -> bool:
    if get_language(language).words == "spaces":
        return len(line.split()) >= MIN_WORDS
    return sum(map(str.isalpha, line)) >= MIN_LETTERS


def score_confusion(answers: Sequence[Answer], translations: Sequence[Translation]) -> list[Score]:
    """Both rates of the answers and of the translations, over all outputs and by language.

    `items` are the outputs that a rate is over; without any there is no score.
    """
    written = {
        "answers": [(row.language, row.answer) for row in answers],
        "from_english": _outputs(translations, "from_english"),
        "into_english": _outputs(translations, "into_english"),
    }
    return [score for name, outputs in written.items() for score in _rates(name, outputs)]


def _outputs(rows: Sequence[Translation], direction: str) -> list[tuple[str, str]]:
    own = [row for row in rows if row.direction == direction]
    return [(ENGLISH if direction == "into_english" else row.language, row.output) for row in own]


def _rates(name: str, outputs: Sequence[tuple[str, str]]) -> Iterator[Score]:
    languages = sorted({language for language, _ in outputs})
    for metric, passes in (("line_pass_rate", passes_lines), ("word_pass_rate", passes_words)):
        judged = [(language, passes(text, language)) for language, text in outputs]
        for language in (ALL_LANGUAGES, *languages):
            flags = [
                passed
                for written, passed in judged
                if passed is not None and language in (ALL_LANGUAGES, written)
            ]
            if flags:
                share = sum(flags) / len(flags)
                low, high = wilson(sum(flags), len(flags))
                yield Score(
                    "chat", SUITE, f"{metric}_{name}", language, share, low, high, len(flags), None
                )
