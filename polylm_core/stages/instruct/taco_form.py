"""TaCo's form (arXiv 2311.10797): English in between.

In: a question and its answer in a language, and the same in English, whatever made them (a
translator, people, an imported set). Out: a chat whose system line asks for the instruction in
English, the answer in English and the answer in the language, and whose answer has these three
labelled parts in this order. Beside it the plain form of the same, without the English parts.
"""

from __future__ import annotations

from dataclasses import dataclass

from polylm_core.languages import get_language
from polylm_core.records import Instruction, Message

ORIGIN = "taco"
PLAIN = "taco-plain"
"""Origin of the same questions and answers without the English parts."""
INSTRUCTION_LABEL = "Instruction in English:"
RESPONSE_LABEL = "Response in English:"


@dataclass(frozen=True, slots=True)
class Aligned:
    """The same question and answer in English and in a language."""

    name: str
    """What it is traced by: the id of its source."""
    language: str
    license: str
    english_instruction: str
    """As a user asks it, input included. The paper's template shows no input in English; without
    it the answer in English would be to something that was not said."""
    english_response: str
    question: str
    """As the user asks it, input included."""
    answer: str


def align(english: Instruction, other: Instruction) -> Aligned | None:
    """The same task in English and in a language; none unless each is one question and answer.

    What the user says in English is the English instruction, whole; system lines are left out.
    """
    chats = [
        [message for message in task.messages if message.role != "system"]
        for task in (english, other)
    ]
    if any([message.role for message in chat] != ["user", "assistant"] for chat in chats):
        return None
    (ours, answer), (theirs, their_answer) = chats
    return Aligned(
        name=other.id,
        language=other.language,
        license=other.license,
        english_instruction=ours.content,
        english_response=answer.content,
        question=theirs.content,
        answer=their_answer.content,
    )


def label_of(language: str) -> str:
    """The label of the third part: `Response in Spanish:`."""
    return f"Response in {get_language(language).english_name}:"


def system_line(language: str) -> str:
    """What the model is told to do."""
    title = get_language(language).english_name
    return f"Put the instruction into English, answer in English, then put the answer into {title}."


def in_taco_form(aligned: Aligned) -> Instruction:
    """The chat with three labelled parts."""
    answer = (
        f"{INSTRUCTION_LABEL} {aligned.english_instruction}\n"
        f"{RESPONSE_LABEL} {aligned.english_response}\n"
        f"{label_of(aligned.language)} {aligned.answer}"
    )
    return _chat(ORIGIN, aligned, Message("system", system_line(aligned.language)), answer)


def in_plain_form(aligned: Aligned) -> Instruction:
    """The same question and answer, in the language alone."""
    return _chat(PLAIN, aligned, None, aligned.answer)


def _chat(origin: str, aligned: Aligned, system: Message | None, answer: str) -> Instruction:
    turns = (Message("user", aligned.question), Message("assistant", answer))
    return Instruction(
        id=f"{origin}/{aligned.name}",
        language=aligned.language,
        prompt_language=aligned.language,
        origin=origin,
        license=aligned.license,
        messages=turns if system is None else (system, *turns),
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """The three parts of an answer in TaCo's form."""

    english_instruction: str
    english_response: str
    response: str


def parts_of(answer: str, language: str) -> Parts | None:
    """The parts of an answer; none if one is missing, empty or not in its place."""
    labels = (INSTRUCTION_LABEL, RESPONSE_LABEL, label_of(language))
    if not answer.lstrip().startswith(INSTRUCTION_LABEL):
        return None
    if any(answer.count(label) != 1 for label in labels):
        return None
    begins = [answer.index(label) for label in labels]
    if begins != sorted(begins):
        return None
    ends = [*begins[1:], len(answer)]
    texts = [
        answer[begin + len(label) : end].strip()
        for label, begin, end in zip(labels, begins, ends, strict=True)
    ]
    return Parts(*texts) if all(texts) else None
