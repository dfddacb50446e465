"""The chat format: what a conversation looks like as text, and which of its tokens are learned.

In: messages. Out: the text of PolyLM's chat models (model card of polylm-chat-13b), which is

    <|user|>
    {text}
    <|assistant|>
    {answer}</s>

turn after turn, optionally after `<|system|>`, newline, text, newline; the same as the Jinja
template of a Hugging Face folder; and ids with a mask that is 1 on the answers and the eos that
ends each, because questions are given and only answers are learned.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from polylm_core.records import Message, Role

EOS = "</s>"
MARKS: Mapping[Role, str] = {
    "system": "<|system|>",
    "user": "<|user|>",
    "assistant": "<|assistant|>",
}
"""The mark that opens a turn; each is one piece of the tokenizer."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{{ '</s>' if message['role'] == 'assistant' else '\\n' }}"
    "{% endfor %}"
    "{{ '<|assistant|>\\n' if add_generation_prompt else '' }}"
)
"""`render` as the Jinja template that `tokenizer_config.json` carries."""


class ChatTokenizer(Protocol):
    """What encoding a chat needs of a tokenizer."""

    eos_id: int

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without bos and eos."""


class EncodedChat(NamedTuple):
    """A chat as ids; both sequences have the same length.

    Five bytes a token: all chats of a set, hundreds of millions of tokens, are held at once.
    """

    ids: Sequence[int]
    answer_mask: Sequence[int]
    """1 on the tokens of an answer and on its eos, 0 elsewhere."""

    @classmethod
    def of(cls, ids: Iterable[int], answer_mask: Iterable[int]) -> EncodedChat:
        """Hold ids and mask in as few bytes as they need."""
        return cls(array("i", ids), bytes(answer_mask))


def render(messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
    """Text of a chat; with `add_generation_prompt` it ends where an answer has to begin."""
    segments = "".join(text + (EOS if is_answer else "") for text, is_answer in _segments(messages))
    return segments + (f"{MARKS['assistant']}\n" if add_generation_prompt else "")


def encode_chat(messages: Sequence[Message], tokenizer: ChatTokenizer) -> EncodedChat:
    """Encode a chat turn by turn.

    Marks and answers are encoded apart, so that the ids of an answer do not depend on what a
    subword could have merged across its edge, and eos is the id itself, never text.
    """
    ids: list[int] = []
    mask: list[int] = []
    for text, is_answer in _segments(messages):
        tokens = tokenizer.encode(text) + ([tokenizer.eos_id] if is_answer else [])
        ids += tokens
        mask += [int(is_answer)] * len(tokens)
    return EncodedChat.of(ids, mask)


def encode_prompt(messages: Sequence[Message], tokenizer: ChatTokenizer) -> list[int]:
    """Ids of a chat up to where an answer has to begin, as `encode_chat` has them."""
    answered = encode_chat([*messages, Message("assistant", "")], tokenizer)
    return list(answered.ids[:-1])  # without the eos of the empty answer


def _segments(messages: Sequence[Message]) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a chat, and of each whether it is an answer (which eos then ends).

    Given text reaches as far as the next answer, so that it is encoded in one piece.
    """
    given = ""
    for message in messages:
        given += f"{MARKS[message.role]}\n"
        if message.role == "assistant":
            yield given, False
            yield message.content, True
            given = ""
        else:
            given += f"{message.content}\n"
    if given:
        yield given, False
