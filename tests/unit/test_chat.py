"""The chat format as text, as Jinja and as ids."""

from __future__ import annotations

import jinja2
import pytest

from polylm_core.chat import CHAT_TEMPLATE, encode_chat, encode_prompt, render
from polylm_core.records import Message

QUESTION = Message("user", "Was ist 2+2?")
CHATS = {
    "one turn": [QUESTION, Message("assistant", "Vier.")],
    "two turns": [
        QUESTION,
        Message("assistant", "Vier."),
        Message("user", "Und\n{{ 3 }}+3?"),
        Message("assistant", "Sechs.\n\nSicher."),
    ],
    "system turn": [Message("system", "Antworte kurz."), QUESTION, Message("assistant", "مرحبا")],
    "question only": [QUESTION],
}


class CharacterTokenizer:
    """One id a character; `</s>` as text never becomes eos."""

    eos_id = 2

    def encode(self, text: str) -> list[int]:
        return [ord(character) + 10 for character in text]


def decode(ids: tuple[int, ...]) -> str:
    return "".join("</s>" if i == 2 else chr(i - 10) for i in ids)


def test_a_chat_is_written_as_on_polylms_model_card() -> None:
    assert (
        render(CHATS["one turn"], add_generation_prompt=False)
        == "<|user|>\nWas ist 2+2?\n<|assistant|>\nVier.</s>"
    )
    assert render([QUESTION], add_generation_prompt=True) == (
        "<|user|>\nWas ist 2+2?\n<|assistant|>\n"
    )


def test_a_system_turn_comes_first_and_ends_with_a_newline() -> None:
    text = render(CHATS["system turn"], add_generation_prompt=False)
    assert text.startswith("<|system|>\nAntworte kurz.\n<|user|>\n")


@pytest.mark.parametrize("add_generation_prompt", [False, True])
@pytest.mark.parametrize("name", sorted(CHATS))
def test_the_jinja_template_gives_the_same_text(name: str, add_generation_prompt: bool) -> None:
    # The settings are those of transformers' apply_chat_template.
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    messages = [{"role": m.role, "content": m.content} for m in CHATS[name]]
    text = environment.from_string(CHAT_TEMPLATE).render(
        messages=messages, add_generation_prompt=add_generation_prompt
    )
    assert text == render(CHATS[name], add_generation_prompt=add_generation_prompt)


@pytest.mark.parametrize("name", sorted(CHATS))
def test_the_ids_of_a_chat_spell_its_text(name: str) -> None:
    encoded = encode_chat(CHATS[name], CharacterTokenizer())
    assert decode(encoded.ids) == render(CHATS[name], add_generation_prompt=False)


def test_the_mask_covers_answers_and_their_eos_only() -> None:
    encoded = encode_chat(CHATS["two turns"], CharacterTokenizer())
    learned = tuple(i for i, on in zip(encoded.ids, encoded.answer_mask, strict=True) if on)
    assert decode(learned) == "Vier.</s>Sechs.\n\nSicher.</s>"
    assert len(encoded.ids) == len(encoded.answer_mask)


def test_a_chat_is_held_in_five_bytes_a_token() -> None:
    encoded = encode_chat(CHATS["two turns"], CharacterTokenizer())
    held = memoryview(encoded.ids).nbytes + memoryview(encoded.answer_mask).nbytes
    assert held == 5 * len(encoded.ids)


def test_a_prompt_ends_where_the_answer_begins() -> None:
    tokenizer = CharacterTokenizer()
    prompt = encode_prompt([QUESTION], tokenizer)
    encoded = encode_chat(CHATS["one turn"], tokenizer)
    assert prompt == list(encoded.ids[: len(prompt)])
    assert encoded.answer_mask.index(1) == len(prompt)
    assert decode(tuple(prompt)) == render([QUESTION], add_generation_prompt=True)


def test_an_end_of_text_written_by_a_person_is_not_eos() -> None:
    encoded = encode_chat([Message("user", "a</s>b")], CharacterTokenizer())
    assert 2 not in encoded.ids
