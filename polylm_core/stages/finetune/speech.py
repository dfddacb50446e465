"""How chats become ids and back: by PolyLM's marks, or by the chat template of another's model.

Either way what is learned is what follows the prompt that the template ends with, up to the end
token and with it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from polylm_core import tokenizer as tokenizers
from polylm_core.artifacts import BaseModelFolder
from polylm_core.chat import CHAT_TEMPLATE, EOS, EncodedChat, encode_chat, render
from polylm_core.errors import StageError
from polylm_core.records import Message
from polylm_core.storage import no_space_named
from polylm_core.tokenizer import HuggingFaceTwin, readable
from polylm_core.training.certificate import CONTROL_PIECES

TEMPLATE_FILE = "chat_template.jinja"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")

Unfit = Literal["control-piece", "joined"]
"""Why a chat cannot be encoded: its text has a control piece, which would be read as one, or the
first piece of an answer begins in the prompt."""


class Speech(Protocol):
    """The chats of one model."""

    eos_id: int
    pad_id: int
    comes_back: bool
    """Whether the tokenizer gives every text back from its ids."""

    def encode(self, messages: Sequence[Message]) -> EncodedChat | Unfit:
        """Return the ids of a chat, and which of them are learned."""

    def prompt(self, messages: Sequence[Message]) -> str:
        """Return the text of a chat up to where an answer has to begin."""

    def is_comparable(self, messages: Sequence[Message]) -> bool:
        """Whether the text of a chat with one answer says what its ids do."""

    def write(self, folder: Path) -> None:
        """Write tokenizer and template for a chat model's folder."""


def speech_of(base: BaseModelFolder, template: str | None) -> Speech:
    """Return how a base model is spoken to; `template` is the params', if they have one."""
    if template is None and "imported" not in base.manifest.params:
        return MarkedSpeech(base.path)
    return TemplateSpeech(base.path, template)


class MarkedSpeech:
    """PolyLM's marks, encoded turn by turn by the tokenizer of this pipeline."""

    comes_back = True

    def __init__(self, base: Path) -> None:
        self._base = base
        self._twin = HuggingFaceTwin(base)
        self.eos_id = self._twin.eos_id
        self.pad_id = tokenizers.PAD_ID

    def encode(self, messages: Sequence[Message]) -> EncodedChat | Unfit:
        """Return the ids of a chat, and which of them are learned."""
        return encode_chat(messages, self._twin)

    def prompt(self, messages: Sequence[Message]) -> str:
        """Return the text of a chat up to where an answer has to begin."""
        return render(messages, add_generation_prompt=True)

    def is_comparable(self, messages: Sequence[Message]) -> bool:
        """Whether the chat's text says what its ids do.

        `transformers` reads control pieces wherever they stand, SentencePiece a sign for a space.
        """
        text = "".join(message.content for message in messages)
        return readable(text) == text and not any(piece in text for piece in CONTROL_PIECES)

    def write(self, folder: Path) -> None:
        """Write tokenizer and template for a chat model's folder."""
        for name in TOKENIZER_FILES:
            shutil.copyfile(self._base / name, folder / name)
        (folder / TEMPLATE_FILE).write_text(CHAT_TEMPLATE, encoding="utf-8")


class TemplateSpeech:
    """A chat template, whose whole text is encoded at once, as `transformers` does it."""

    comes_back = False

    def __init__(self, base: Path, template: str | None) -> None:
        from transformers import AutoTokenizer  # costs seconds

        self._base = base
        self._tokenizer: Any = AutoTokenizer.from_pretrained(base, local_files_only=True)
        self._eos: str = self._tokenizer.eos_token
        own = CHAT_TEMPLATE.replace(EOS, self._eos)
        self._tokenizer.chat_template = template or self._tokenizer.chat_template or own
        self.eos_id = int(self._tokenizer.eos_token_id)
        self.pad_id = self.eos_id
        self._controls = [
            piece.content
            for piece in self._tokenizer.added_tokens_decoder.values()
            if piece.special and piece.content
        ]

    def encode(self, messages: Sequence[Message]) -> EncodedChat | Unfit:
        """Return the ids of a chat up to its last end token, and which of them are learned.

        Every prompt in it has the ids that it has alone, as a model that is asked will see them.
        Raises StageError for a template whose answers cannot be told from the rest.
        """
        if any(piece in message.content for message in messages for piece in self._controls):
            return "control-piece"
        whole = self._rendered(messages)
        spans = list(self._answers(messages, whole))
        ids = self._ids(whole[: spans[-1][1]])
        mask = [0] * len(ids)
        for begin, end in spans:
            before, through = self._ids(whole[:begin]), self._ids(whole[:end])
            if ids[: len(through)] != through or ids[: len(before)] != before:
                return "joined"
            mask[len(before) : len(through)] = [1] * (len(through) - len(before))
        return EncodedChat.of(ids, mask)

    def _answers(self, messages: Sequence[Message], whole: str) -> list[tuple[int, int]]:
        """Return where each answer begins in the text, and where the end token after it ends."""
        spans = []
        for place, message in enumerate(messages):
            if message.role != "assistant":
                continue
            prompt = self.prompt(messages[:place])
            end = whole.find(self._eos, len(prompt))
            if not whole.startswith(prompt) or end < 0:
                raise StageError(
                    f"the chat template does not write {prompt[-40:]!r}, an answer and "
                    f"{self._eos!r} after each other; state another in finetune.chat_template"
                )
            spans.append((len(prompt), end + len(self._eos)))
        return spans

    def prompt(self, messages: Sequence[Message]) -> str:
        """Return the text of a chat up to where an answer has to begin."""
        return self._rendered(messages, add_generation_prompt=True)

    def _rendered(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            text: str = self._tokenizer.apply_chat_template(
                turns, add_generation_prompt=add_generation_prompt, tokenize=False
            )
        except Exception as error:  # jinja's own, and whatever a template raises
            raise StageError(
                f"the chat template cannot write a chat of {[turn['role'] for turn in turns]}: "
                f"{error}; leave such chats out, or state another in finetune.chat_template"
            ) from error
        return text

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def is_comparable(self, messages: Sequence[Message]) -> bool:
        """Whether the text of a chat with one answer says what its ids do: as it is encoded."""
        return not isinstance(self.encode(messages), str)

    def write(self, folder: Path) -> None:
        """Write tokenizer and template for a chat model's folder."""
        with no_space_named(folder):
            self._tokenizer.save_pretrained(folder)
            for file in folder.iterdir():
                file.chmod(0o644)
