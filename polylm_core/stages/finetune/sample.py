"""Chats of each language, for the export to be held against (`training/certificate.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from polylm_core.errors import StageError
from polylm_core.records import Instruction
from polylm_core.stages.finetune.speech import Speech
from polylm_core.training.certificate import (
    TEXTS_PER_LANGUAGE,
    Sample,
    SampleText,
    write_sample,
)


def write_chat_sample(
    path: Path, chats: Iterable[Instruction], speech: Speech, languages: Sequence[str]
) -> None:
    """Write the first chats with one answer of each language that has any.

    Raises StageError when none has.
    """
    texts: list[SampleText] = []
    missing = Counter(dict.fromkeys(languages, TEXTS_PER_LANGUAGE))
    for chat in chats:
        if missing[chat.language] > 0 and _is_comparable(chat, speech):
            encoded = speech.encode(chat.messages)
            assert not isinstance(encoded, str)
            missing[chat.language] -= 1
            texts.append(
                SampleText(
                    language=chat.language,
                    text=speech.prompt(chat.messages[:-1]),
                    ids=tuple(encoded.ids),
                    messages=tuple(
                        {"role": message.role, "content": message.content}
                        for message in chat.messages
                    ),
                )
            )
        if not any(missing.values()):
            break
    if not texts:
        raise StageError(
            f"no chat with one answer in {', '.join(languages)} to compare the exported model on; "
            "raise the budgets of instruct"
        )
    in_order = sorted(texts, key=lambda text: languages.index(text.language))
    write_sample(
        path,
        Sample(eos_id=speech.eos_id, texts=tuple(in_order), comes_back=speech.comes_back),
    )


def _is_comparable(chat: Instruction, speech: Speech) -> bool:
    """Whether the chat's text says what its ids do; an answer that others follow may be joined."""
    answers = [message for message in chat.messages if message.role == "assistant"]
    return len(answers) == 1 and speech.is_comparable(chat.messages)
