r"""`polylm chat`: talk with a model in the terminal, answers as they are made.

Read from a pipe, each line is a message and each answer is printed after the other, without
anything beside them: `printf 'Hello\n' | polylm chat`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from polylm_core.artifacts import ADAPTERS, adapters_of
from polylm_core.errors import MissingArtifactError, PromptTooLongError, TrainingError

NEW_CHAT = "/new"


class Answering(Protocol):
    """What a conversation needs of a model."""

    def answer(self, messages: list[dict[str, str]]) -> str:
        """Print the answer to a chat as it is made, and return it; raises PromptTooLongError."""


@dataclass(frozen=True)
class Decoding:
    """How answers are decoded."""

    max_new_tokens: int
    temperature: float
    """0 is greedy."""
    repetition_penalty: float


@dataclass
class Conversation:
    """The messages so far; the oldest are left out when they no longer fit."""

    model: Answering
    system: str | None = None
    messages: list[dict[str, str]] = field(default_factory=list)

    def say(self, text: str) -> list[str]:
        """Answer a message; return remarks about what had to be left out.

        Raises PromptTooLongError when the message alone does not fit.
        """
        self.messages.append({"role": "user", "content": text})
        left_out = 0
        while True:
            try:
                answer = self.model.answer([*self._head(), *self.messages])
            except PromptTooLongError:
                if len(self.messages) == 1:
                    self.messages.pop()
                    raise
                del self.messages[:2]  # the oldest question and its answer
                left_out += 2
                continue
            self.messages.append({"role": "assistant", "content": answer})
            return [f"the oldest {left_out} messages no longer fit"] if left_out else []

    def _head(self) -> list[dict[str, str]]:
        return [] if self.system is None else [{"role": "system", "content": self.system}]


class FolderModel:
    """A Hugging Face folder that answers, in float32."""

    def __init__(self, folder: Path, adapter: str | None, decoding: Decoding) -> None:
        require_chat(folder, adapter)
        # Heavy, and only a chat pays for them.
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._decoding = decoding
        self._torch = torch
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if self.tokenizer.chat_template is None:
            raise TrainingError(f"{folder} has no chat template; name a chat model: data/08_chat")
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(
                model, folder / ADAPTERS / adapter, use_safetensors=True
            )
            model = model.merge_and_unload()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.to(device).eval()
        self._context_tokens = int(model.config.max_position_embeddings)

    def rendered(self, messages: list[dict[str, str]]) -> str:
        """Text of a chat up to where the answer begins, by the folder's template."""
        return str(
            self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        )

    def answer(self, messages: list[dict[str, str]]) -> str:
        """Print the answer token by token; raises PromptTooLongError."""
        from transformers import TextStreamer

        ids = self.tokenizer.encode(self.rendered(messages), add_special_tokens=False)
        room = self._context_tokens - self._decoding.max_new_tokens
        if len(ids) > room:
            raise PromptTooLongError("the chat", len(ids), max(0, room))
        prompt = self._torch.tensor([ids], device=self._model.device)
        streamer = TextStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        with self._torch.inference_mode():
            out = self._model.generate(
                input_ids=prompt,
                attention_mask=self._torch.ones_like(prompt),
                streamer=streamer,
                pad_token_id=self.tokenizer.eos_token_id,
                max_new_tokens=self._decoding.max_new_tokens,
                repetition_penalty=self._decoding.repetition_penalty,
                **self._sampling(),
            )
        return str(self.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)).strip()

    def _sampling(self) -> dict[str, Any]:
        if self._decoding.temperature == 0:
            return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return {"do_sample": True, "temperature": self._decoding.temperature}


def require_chat(folder: Path, adapter: str | None) -> None:
    """Raise MissingArtifactError without a model, TrainingError without the adapter."""
    if not (folder / "config.json").is_file():
        raise MissingArtifactError(
            f"{folder} holds no model (no config.json); run `dvc repro finetune`, or name another "
            "folder with --model"
        )
    known = adapters_of(folder)
    if adapter is not None and adapter not in known:
        raise TrainingError(
            f"{folder} has no adapter {adapter!r}; it has {', '.join(known) or 'none at all'}"
        )


def talk(folder: Path, adapter: str | None, system: str | None, decoding: Decoding) -> None:
    """Hold a chat over standard input and output until it ends (Ctrl-D)."""
    model = FolderModel(folder, adapter, decoding)
    asked = [*([{"role": "system", "content": system}] if system else [])]
    if system and system not in model.rendered([*asked, {"role": "user", "content": "?"}]):
        raise TrainingError(f"the chat template of {folder} leaves a system message out")
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        import readline  # noqa: F401, lines can be edited and called back

        print(f"{folder}: {NEW_CHAT} begins anew, Ctrl-C ends an answer, Ctrl-D the chat")
    conversation = Conversation(model, system)
    for line in _lines("you> " if is_terminal else ""):
        if line == NEW_CHAT:
            conversation.messages.clear()
            continue
        try:
            remarks = conversation.say(line)
        except PromptTooLongError as error:
            remarks = [str(error)]
        except KeyboardInterrupt:
            del conversation.messages[-1:]  # the question that was not answered
            remarks = ["stopped; the question is taken back"]
        for remark in remarks:
            print(f"({remark})", file=sys.stderr)


def _lines(prompt: str) -> Iterator[str]:
    """Yield what is said, line by line, empty ones left out."""
    while True:
        try:
            line = input(prompt).strip()
        except (EOFError, KeyboardInterrupt):
            if prompt:
                print()
            return
        if line:
            yield line
