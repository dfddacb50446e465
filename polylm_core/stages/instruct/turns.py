"""Chats of translation: one turn or several, whose texts are of the same document.

A turn is a pair and the side that is asked for. Later turns ask for the same direction again or
for the other one, in the language that the first turn is worded in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polylm_core.records import Instruction, Message, Pair
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.stages.instruct.selection import draw, is_suitable
from polylm_core.stages.instruct.templates import (
    ENGLISH,
    has_wording,
    word_back,
    word_next,
    word_translation,
)

TRANSLATION = "cross-lingual"


@dataclass(frozen=True, slots=True)
class Turn:
    """A text to translate, and its translation."""

    pair: Pair
    source: str
    target: str
    question: str
    answer: str


def turn_of(pair: Pair, target: str, config: InstructConfig) -> Turn | None:
    """The turn that asks for one side of a pair; none if the pair is unsuitable."""
    if target == pair.language_b:
        source, question, answer = pair.language_a, pair.text_a, pair.text_b
    else:
        source, question, answer = pair.language_b, pair.text_b, pair.text_a
    if not (is_suitable(question, source, config) and is_suitable(answer, target, config)):
        return None
    return Turn(pair, source, target, question, answer)


def chat_of(turns: Sequence[Turn], config: InstructConfig, seed: int) -> Instruction:
    """The chat of turns in the same two languages; it counts as one in its last answer's."""
    first = turns[0]
    reader = _reader(first, draw(seed, "reader", first.pair.id), config)
    messages: list[Message] = []
    for number, turn in enumerate(turns):
        word = word_translation
        if number:
            word = word_next if turn.target == turns[number - 1].target else word_back
        prompt = word(
            turn.question,
            source=turn.source,
            target=turn.target,
            reader=reader,
            draw=draw(seed, "wording", turn.pair.id),
        )
        messages += (Message("user", prompt), Message("assistant", turn.answer))
    later = "".join(f"+{turn.pair.id.rpartition('#')[2]}>{turn.target}" for turn in turns[1:])
    return Instruction(
        id=f"{TRANSLATION}/{first.pair.id}>{first.target}{later}",
        language=turns[-1].target,
        prompt_language=reader,
        origin=TRANSLATION,
        license=first.pair.license,
        messages=tuple(messages),
    )


def _reader(turn: Turn, drawn: float, config: InstructConfig) -> str:
    """Language to word the instruction in: mostly the answer's, so that it tells which to use."""
    native = drawn < config.cross_lingual.native_share
    sides = (turn.target, turn.source) if native else (turn.source, turn.target)
    return next((code for code in sides if has_wording(code)), ENGLISH)
