"""Rows of one task each (Alpaca and its kin), and rows of one conversation each (ShareGPT)."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from polylm_core.records import Message, Role
from polylm_core.stages.instruct.imports.config import ChatSet, ColumnSet
from polylm_core.stages.instruct.imports.reading import (
    EMPTY_PART,
    FILTERED,
    NO_COLUMN,
    NOT_TEXT,
    Columns,
    Conversation,
    Found,
    Left,
    clean,
    language_of_row,
    passes,
)
from polylm_core.stages.instruct.imports.rows import Row

BAD_ALTERNATION = "bad-alternation"
UNKNOWN_SPEAKER = "unknown-speaker"
NO_ANSWER = "no-answer"
SPEAKERS: Mapping[str, Role] = types.MappingProxyType(
    {
        "human": "user",
        "user": "user",
        "gpt": "assistant",
        "assistant": "assistant",
        "chatgpt": "assistant",
        "bing": "assistant",
        "bard": "assistant",
        "system": "system",
    }
)
"""Who speaks, in the files that go by the name of ShareGPT."""

Numbered = Iterable[tuple[str, str, Row]]
"""File, key of the row, row."""


def tasks(rows: Numbered, declared: ColumnSet, columns: Columns) -> Iterator[Found]:
    """Yield the conversation of each row: a question, with its input below it, and an answer."""
    for file, number, row in rows:
        if not passes(row, declared.where, columns):
            yield Left(FILTERED, is_item=False)
        else:
            yield _task(file, number, row, declared, columns)


def _task(file: str, number: str, row: Row, declared: ColumnSet, columns: Columns) -> Found:
    names = {
        "system": declared.system,
        "instruction": declared.instruction,
        "input": declared.input,
        "output": declared.output,
    }
    cells = {part: columns.cell(row, name) if name else None for part, name in names.items()}
    texts = {part: clean(cell) for part, cell in cells.items()}
    if None in texts.values():
        return Left(NOT_TEXT)
    system, instruction, entry, output = (text or "" for text in texts.values())
    if not instruction or not output:
        return Left(EMPTY_PART, declared.language or declared.language_by_file.get(file, ""))
    question = f"{instruction}\n{entry}" if entry else instruction
    language = language_of_row(row, file, declared, columns, question=question, answer=output)
    if isinstance(language, Left):
        return language
    return Conversation(
        _key(row, declared.id, number, columns),
        language,
        language,
        (
            *((Message("system", system),) if system else ()),
            Message("user", question),
            Message("assistant", output),
        ),
    )


def chats(rows: Numbered, declared: ChatSet, columns: Columns) -> Iterator[Found]:
    """Yield the conversation of each row.

    After a system's message, if there is one, people and model speak in turn. A last question that
    nobody answered is cut off; any other order drops the conversation.
    """
    for file, number, row in rows:
        if not passes(row, declared.where, columns):
            yield Left(FILTERED, is_item=False)
            continue
        turns = columns.cell(row, declared.conversations)
        messages = _messages(turns, declared) if isinstance(turns, list) else NO_COLUMN
        if isinstance(messages, str):
            yield Left(messages)
            continue
        *before, last = messages
        language = language_of_row(
            row, file, declared, columns, question=before[-1].content, answer=last.content
        )
        if isinstance(language, Left):
            yield language
        else:
            key = _key(row, declared.id, number, columns)
            yield Conversation(key, language, language, messages)


def _messages(turns: list[Any], declared: ChatSet) -> tuple[Message, ...] | str:
    """The messages of a conversation, or why there are none."""
    messages: list[Message] = []
    for turn in turns:
        if not isinstance(turn, Mapping):
            return NOT_TEXT
        role = SPEAKERS.get(str(turn.get(declared.speaker)).lower())
        text = clean(turn.get(declared.text))
        if role is None:
            return UNKNOWN_SPEAKER
        if text is None:
            return NOT_TEXT
        if not text:
            return EMPTY_PART
        messages.append(Message(role, text))
    spoken = [message.role for message in messages]
    start = 1 if spoken[:1] == ["system"] else 0
    expected: list[Role] = ["user", "assistant"]
    if any(role != expected[place % 2] for place, role in enumerate(spoken[start:])):
        return BAD_ALTERNATION
    whole = messages if spoken[-1:] == ["assistant"] else messages[:-1]
    return tuple(whole) if len(whole) >= start + 2 else NO_ANSWER


def _key(row: Row, name: str | None, number: str, columns: Columns) -> str:
    own = columns.cell(row, name) if name else None
    return number if own is None or own == "" else str(own)
