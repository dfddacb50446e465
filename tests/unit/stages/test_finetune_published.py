"""What `finetune` publishes: a chat model that speaks as it was trained, with its certificate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from polylm_core import tokenizer as tokenizers
from polylm_core.artifacts import ChatModelFolder, InstructionSet, partial_folder, publish
from polylm_core.chat import encode_prompt
from polylm_core.errors import StageError
from polylm_core.records import INSTRUCTION_SCHEMA, Instruction, Message, write_table
from polylm_core.stages.finetune.config import FinetuneConfig
from polylm_core.stages.finetune.sample import write_chat_sample
from polylm_core.stages.finetune.speech import MarkedSpeech
from polylm_core.stages.finetune.stage import finetune
from polylm_core.training.certificate import read_sample
from tests.one_rank import OneRankBackend, Pretrained, make_training_run

QUESTIONS = {"eng_Latn": "close 42?", "deu_Latn": "Datei 42?"}
FULL = {
    "name": "instructions",
    "method": {"kind": "full"},
    "learning_rate": 0.01,
    "warmup_share": 0.1,
    "weight_decay": 0.0,
    "epochs": 2,
    "global_batch_tokens": 64,
}


def make_config(*phases: dict[str, Any], **changes: Any) -> FinetuneConfig:
    """Phases like `FULL` but for what is stated of each."""
    values = {
        "revision": 1,
        "phases": [FULL | phase for phase in phases],
        "max_gradient_norm": 1.0,
        "precision": "float32",
        "matmul_precision": "highest",
    }
    return FinetuneConfig.model_validate(values | changes)


CONFIG = make_config({})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return Pretrained(tmp_path_factory.mktemp("made"))


def chats(number: int) -> list[Instruction]:
    """Chats in two languages that fit a context of 16."""
    return [
        Instruction(
            id=f"{code}-{key}",
            language=code,
            prompt_language=code,
            origin="invented",
            license="CC0-1.0",
            messages=(Message("user", question), Message("assistant", f"{key}.")),
        )
        for key in range(number)
        for code, question in QUESTIONS.items()
    ]


def make_instructions(folder: Path) -> InstructionSet:
    partial = partial_folder(folder)
    write_table(partial / "train.parquet", chats(20), INSTRUCTION_SCHEMA)
    write_table(partial / "held_out.parquet", chats(2), INSTRUCTION_SCHEMA)
    return publish(InstructionSet, partial, folder, inputs={}, params={}, counts={})


def tuned(made: Pretrained, folder: Path, backend: OneRankBackend) -> ChatModelFolder:
    instructions = make_instructions(folder / "07_instructions")
    run = make_training_run(folder, backend, name="08_chat")
    return finetune(CONFIG, made.base, instructions, run)


def test_a_chat_model_has_a_template_that_gives_the_ids_of_training(
    made: Pretrained, tmp_path: Path
) -> None:
    chat = tuned(made, tmp_path, OneRankBackend())
    parity = json.loads((chat.path / "parity.json").read_text(encoding="utf-8"))
    assert [(row["language"], row["texts"]) for row in parity["languages"]] == [
        (code, 2) for code in QUESTIONS
    ]
    assert "chat_template.jinja" in parity["sha256"]
    opened = AutoTokenizer.from_pretrained(chat.path, local_files_only=True)
    assert isinstance(opened, PreTrainedTokenizerFast)
    question = Message("user", QUESTIONS["deu_Latn"])
    text = opened.apply_chat_template(
        [{"role": "user", "content": question.content}], add_generation_prompt=True, tokenize=False
    )
    twin = tokenizers.HuggingFaceTwin(made.base.path)
    assert opened.encode(text, add_special_tokens=False) == encode_prompt([question], twin)


def test_a_chat_model_changed_after_it_was_compared_is_not_published(
    made: Pretrained, tmp_path: Path
) -> None:
    def without_template(folder: Path) -> None:
        (folder / "chat_template.jinja").unlink()

    with pytest.raises(StageError, match=r"chat_template\.jinja: not as when.*run again"):
        tuned(made, tmp_path, OneRankBackend(afterwards=without_template))
    assert not (tmp_path / "08_chat").exists()


def test_chats_that_text_cannot_say_are_left_out_of_the_sample(
    made: Pretrained, tmp_path: Path
) -> None:
    speech = MarkedSpeech(made.base.path)
    kept, *others = chats(4)[::2]
    turns = [
        (Message("user", "<s>"), Message("assistant", "a")),
        (Message("user", "a▁b"), Message("assistant", "a")),
        (*others[2].messages, *others[2].messages),
    ]
    unclear = [replace(chat, messages=own) for chat, own in zip(others, turns, strict=True)]
    write_chat_sample(tmp_path / "sample.json", [*unclear, kept], speech, ["eng_Latn"])
    (text,) = read_sample(tmp_path / "sample.json").texts
    assert text.messages[1]["content"] == kept.messages[1].content
    with pytest.raises(StageError, match="no chat with one answer in eng_Latn"):
        write_chat_sample(tmp_path / "sample.json", unclear, speech, ["eng_Latn"])
