"""Chats in the words of an imported base: its template, its pieces, answers alone to learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from polylm_core.artifacts import (
    BaseModelFolder,
    ChatModelFolder,
    InstructionSet,
    partial_folder,
    publish,
)
from polylm_core.chat import EncodedChat
from polylm_core.cli import merge
from polylm_core.errors import StageError
from polylm_core.records import INSTRUCTION_SCHEMA, Instruction, Message, write_table
from polylm_core.stages.finetune.speech import TemplateSpeech
from polylm_core.stages.finetune.stage import finetune
from polylm_core.stages.pretrain.stage import pretrain
from polylm_core.training.certificate import require_certificate
from tests.one_rank import OneRankBackend, Pretrained, make_training_run
from tests.unit.stages.test_finetune_phases import LORA
from tests.unit.stages.test_finetune_published import chats, make_config, make_instructions
from tests.unit.stages.test_pretrain_imported import declared, write_other_model

WIDE_LORA = LORA | {
    "rank": 16,
    "alpha": 32,
    "dropout": 0,
    "target_modules": ["c_attn", "c_fc", "c_proj"],
}
"""Enough of this small a model learns for it to come to an end."""
MOST = 20
CHAT = (
    Message("system", "short"),
    Message("user", "open 42?"),
    Message("assistant", "menu."),
    Message("user", "close?"),
    Message("assistant", "file 42."),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModelFolder:
    folder = tmp_path_factory.mktemp("base")
    made = Pretrained(tmp_path_factory.mktemp("made"))
    run = make_training_run(folder, OneRankBackend(), name="06_base")
    return pretrain(declared(write_other_model(folder / "other")), *made.inputs, run)


def test_what_is_learned_are_the_answers_and_their_end_in_the_ids_of_the_whole_text(
    base: BaseModelFolder,
) -> None:
    speech = TemplateSpeech(base.path, None)
    encoded = speech.encode(CHAT)
    assert isinstance(encoded, EncodedChat)
    opened = AutoTokenizer.from_pretrained(base.path, local_files_only=True)
    turns = [{"role": message.role, "content": message.content} for message in CHAT]
    whole = opened.encode(
        opened.apply_chat_template(turns, tokenize=False), add_special_tokens=False
    )
    assert list(encoded.ids) == whole[: len(encoded.ids)]
    assert opened.decode(whole[len(encoded.ids) :]) == "\n", "what the template adds after the end"
    learned, answers = [], [[]]
    for token, is_learned in zip(encoded.ids, encoded.answer_mask, strict=True):
        if is_learned:
            learned.append(token)
            answers[-1].append(token)
            if token == speech.eos_id:
                answers.append([])
    assert [opened.decode(ids) for ids in answers[:-1]] == ["menu.<|end|>", "file 42.<|end|>"]
    prompt = opened.apply_chat_template(turns[:2], add_generation_prompt=True, tokenize=False)
    asked = opened.encode(prompt, add_special_tokens=False)
    assert encoded.answer_mask.index(1) == len(asked)
    assert list(encoded.ids[: len(asked)]) == asked


def test_a_chat_with_a_control_piece_or_a_joined_answer_is_counted_not_learned(
    base: BaseModelFolder,
) -> None:
    template = "{% for m in messages %}{{ m['content'] }}{% if m['role'] == 'assistant' %}"
    template += "{{ eos_token }}{% endif %}{% endfor %}"
    plain = TemplateSpeech(base.path, template)
    ask = Message("user", "op")
    assert plain.encode([ask, Message("assistant", "en the file")]) == "joined"
    assert isinstance(plain.encode([ask, Message("assistant", " the file")]), EncodedChat)
    speech = TemplateSpeech(base.path, None)
    assert speech.encode([ask, Message("assistant", "a<|user|>b")]) == "control-piece"


def test_a_template_that_does_not_end_answers_is_refused(base: BaseModelFolder) -> None:
    speech = TemplateSpeech(base.path, "{% for m in messages %}{{ m['content'] }}\n{% endfor %}")
    with pytest.raises(
        StageError, match=r"'<\|end\|>' after each other; state another in finetune"
    ):
        speech.encode(CHAT)
    with pytest.raises(StageError, match=r"cannot write a chat of \['system', 'user'"):
        TemplateSpeech(base.path, "{{ raise_exception('no') }}").encode(CHAT)


def tuned(base: BaseModelFolder, folder: Path, method: dict[str, object]) -> ChatModelFolder:
    phase = {
        "name": "only",
        "method": method,
        "context_tokens": 32,
        "epochs": 30,
        "learning_rate": 0.02,
    }
    instructions = make_instructions(folder / "07_instructions")
    run = make_training_run(folder, OneRankBackend(), name="08_chat")
    chat = finetune(make_config(phase), base, instructions, run)
    counts = chat.counts["phases"]["only"]
    assert counts["chats"] == 40
    assert counts["last_loss"] < counts["first_loss"]
    return chat


def answer(model: Any, folder: Path) -> list[str]:
    """The pieces that a model answers a question with, by the chat template of a folder."""
    opened = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ids = opened.apply_chat_template(
        [{"role": "user", "content": "close 42?"}], add_generation_prompt=True, return_tensors="pt"
    )
    ids = ids if isinstance(ids, torch.Tensor) else ids["input_ids"]
    said = model.generate(input_ids=ids, max_new_tokens=MOST, do_sample=False)[0, ids.shape[1] :]
    return list(opened.convert_ids_to_tokens(said.tolist()))


def stops(pieces: list[str]) -> bool:
    return pieces[-1] == "<|end|>" and len(pieces) < MOST


def test_an_imported_base_is_tuned_in_its_own_words_and_stops(
    base: BaseModelFolder, tmp_path: Path
) -> None:
    chat = tuned(base, tmp_path, {"kind": "full"})
    model = AutoModelForCausalLM.from_pretrained(chat.path, local_files_only=True)
    assert stops(answer(model, chat.path))


def test_with_its_adapter_and_merged_with_it_an_imported_base_stops(
    base: BaseModelFolder, tmp_path: Path
) -> None:
    chat = tuned(base, tmp_path, WIDE_LORA)
    adapter = chat.path / "adapters/only"
    require_certificate(adapter)
    plain: Any = AutoModelForCausalLM.from_pretrained(chat.path, local_files_only=True)
    assert len(answer(plain, chat.path)) == MOST, "what stops is the adapter's"
    said = answer(PeftModel.from_pretrained(plain, str(adapter)), chat.path)
    assert stops(said), said
    merge.merged(chat.path, "only", tmp_path / "merged")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", local_files_only=True)
    assert answer(whole, tmp_path / "merged") == said


def test_chats_that_are_left_out_are_counted_by_origin(
    base: BaseModelFolder, tmp_path: Path
) -> None:
    partial = partial_folder(tmp_path / "07_instructions")
    bad: list[Instruction] = [
        Instruction(
            id="bad",
            language="eng_Latn",
            prompt_language="eng_Latn",
            origin="planted",
            license="CC0-1.0",
            messages=(Message("user", "x<|end|>"), Message("assistant", "y")),
        )
    ]
    write_table(partial / "train.parquet", [*chats(20), *bad], INSTRUCTION_SCHEMA)
    write_table(partial / "held_out.parquet", chats(2), INSTRUCTION_SCHEMA)
    instructions = publish(
        InstructionSet, partial, tmp_path / "07_instructions", inputs={}, params={}, counts={}
    )
    run = make_training_run(tmp_path, OneRankBackend(), name="08_chat")
    chat = finetune(make_config({"name": "only", "epochs": 1}), base, instructions, run)
    counts = chat.counts["phases"]["only"]
    assert counts["chats_control-piece"] == {"planted": 1}
    assert counts["chats"] == 40
