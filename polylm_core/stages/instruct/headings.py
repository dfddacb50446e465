"""Questions and answers that documentation holds: a heading, and the paragraphs under it.

In: the pairs of English and a language, whose ids say document and position. Out: headings with
their answers, in both languages, as people translated them. The text does not say what is a
heading; one is a short unit with no sentence's end, in both languages, and the next position holds
a paragraph that has one. A missing position ends an answer, because it may have been a heading.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from polylm_core.records import Pair
from polylm_core.stages.instruct.pairs import Pairs, place
from polylm_core.stages.instruct.parts_config import HeadedConfig
from polylm_core.stages.instruct.selection import MIN_LETTER_SHARE, count_words, letter_share

SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "؟", "।", "।", "።")
NO_HEADING_ENDS = (*SENTENCE_ENDS, ":", ";", ",", "：", "；", "，", "、", "-")


@dataclass(frozen=True, slots=True)
class Headed:
    """A heading and its answer; side a is English."""

    name: str
    """The id of the heading's pair."""
    license: str
    language: str
    heading_a: str
    answer_a: str
    heading_b: str
    answer_b: str


def headed_texts(pairs: Pairs, config: HeadedConfig) -> list[Headed]:
    """All headings with an answer in the sources that the config names."""
    by_document: dict[str, dict[int, int]] = defaultdict(dict)
    for index, name in enumerate(pairs.names):
        document, position = place(name)
        if position >= 0 and document.split("/")[0] in config.sources:
            by_document[document][position] = index
    found: list[Headed] = []
    for document in sorted(by_document):
        found += _of_document(pairs, by_document[document], config)
    return found


def _of_document(pairs: Pairs, places: dict[int, int], config: HeadedConfig) -> Iterator[Headed]:
    decoded = {position: pairs.decode(index) for position, index in sorted(places.items())}
    for position, heading in decoded.items():
        if heading is None or not _is_heading(heading, config):
            continue
        under: list[Pair] = []
        following = position + 1
        while (pair := decoded.get(following)) is not None and _is_paragraph(pair):
            if not _is_short_enough([*under, pair], config):
                break
            under.append(pair)
            following += 1
        if under and _is_long_enough(under, config):
            yield Headed(
                name=heading.id,
                license=heading.license,
                language=heading.language_b,
                heading_a=heading.text_a,
                answer_a=" ".join(pair.text_a for pair in under),
                heading_b=heading.text_b,
                answer_b=" ".join(pair.text_b for pair in under),
            )


def _sides(pair: Pair) -> tuple[tuple[str, str], tuple[str, str]]:
    return (pair.text_a, pair.language_a), (pair.text_b, pair.language_b)


def _is_heading(pair: Pair, config: HeadedConfig) -> bool:
    return all(
        not text.endswith(NO_HEADING_ENDS)
        and count_words(text, language) <= config.max_heading_words
        and letter_share(text) >= MIN_LETTER_SHARE
        for text, language in _sides(pair)
    )


def _is_paragraph(pair: Pair) -> bool:
    return all(
        text.endswith(SENTENCE_ENDS) and letter_share(text) >= MIN_LETTER_SHARE
        for text, _ in _sides(pair)
    )


def _lengths(under: list[Pair]) -> list[int]:
    return [
        sum(count_words(pair.text_a, pair.language_a) for pair in under),
        sum(count_words(pair.text_b, pair.language_b) for pair in under),
    ]


def _is_short_enough(under: list[Pair], config: HeadedConfig) -> bool:
    return max(_lengths(under)) <= config.max_answer_words


def _is_long_enough(under: list[Pair], config: HeadedConfig) -> bool:
    return min(_lengths(under)) >= config.min_answer_words
