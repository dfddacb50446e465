"""What `pretrain` and `finetune` publish: folders that users open, each with its certificate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from polylm_core import tokenizer as tokenizers
from polylm_core.artifacts import (
    BaseModelFolder,
    ChatModelFolder,
    InstructionSet,
    Mixture,
    Tokenizer,
    TokenSet,
    partial_folder,
    publish,
)
from polylm_core.chat import encode_prompt
from polylm_core.errors import StageError
from polylm_core.progress import NullProgress
from polylm_core.records import INSTRUCTION_SCHEMA, Instruction, Message, write_table
from polylm_core.stages.finetune.config import FinetuneConfig
from polylm_core.stages.finetune.sample import write_chat_sample
from polylm_core.stages.finetune.stage import finetune
from polylm_core.stages.pretrain.sample import write_text_sample
from polylm_core.stages.pretrain.stage import pretrain
from polylm_core.token_files import TokenFileWriter
from polylm_core.training.certificate import read_sample
from tests.encoded import PRETRAIN, make_encoded
from tests.one_rank import OneRankBackend, make_training_run

LANGUAGES = ("eng_Latn", "deu_Latn")
QUESTIONS = {"eng_Latn": "close 42?", "deu_Latn": "Datei 42?"}


class Made:
    """Everything up to a base model, made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens, self.mixture = make_encoded(folder)
        self.tokenizer = Tokenizer.load(folder / "03_tokenizer")
        self.base = pretrained(self, OneRankBackend(), name="06_base")

    @property
    def inputs(self) -> tuple[Tokenizer, TokenSet, Mixture]:
        return self.tokenizer, self.tokens, self.mixture


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


def pretrained(made: Made, backend: OneRankBackend, *, name: str) -> BaseModelFolder:
    run = make_training_run(made.folder, backend, name=name)
    return pretrain(PRETRAIN, *made.inputs, run)


def chats(number: int) -> list[Instruction]:
    return [
        Instruction(
            id=f"{code}-{key}",
            language=code,
            prompt_language=code,
            origin="invented",
            license="CC0-1.0",
            messages=(Message("user", QUESTIONS[code]), Message("assistant", f"{key}.")),
        )
        for key in range(number)
        for code in LANGUAGES
    ]


def make_instructions(folder: Path) -> InstructionSet:
    partial = partial_folder(folder)
    write_table(partial / "train.parquet", chats(20), INSTRUCTION_SCHEMA)
    write_table(partial / "held_out.parquet", chats(2), INSTRUCTION_SCHEMA)
    return publish(InstructionSet, partial, folder, inputs={}, params={}, counts={})


def tuned(made: Made, folder: Path, backend: OneRankBackend) -> ChatModelFolder:
    config = FinetuneConfig(
        revision=1,
        learning_rate=0.01,
        warmup_share=0.1,
        weight_decay=0.0,
        max_gradient_norm=1.0,
        epochs=2,
        global_batch_tokens=64,
        precision="float32",
        matmul_precision="highest",
    )
    instructions = make_instructions(folder / "07_instructions")
    return finetune(config, made.base, instructions, make_training_run(folder, backend, name="08"))


def spoil(folder: Path) -> None:
    file = folder / "generation_config.json"
    file.write_text(file.read_text().replace('"eos_token_id": 2', '"eos_token_id": 5'))


def test_a_base_model_is_published_with_its_tokenizer_and_certificate(made: Made) -> None:
    files = made.base.manifest.files
    assert files.keys() == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "parity.json",
        "curves.parquet",
        "drawn_unigrams.parquet",
    }
    parity = json.loads((made.base.path / "parity.json").read_text(encoding="utf-8"))
    assert parity["sha256"] == {
        name: entry.sha256
        for name, entry in files.items()
        if not name.endswith(".parquet") and name != "parity.json"
    }
    assert [row["language"] for row in parity["languages"]] == list(LANGUAGES)


def test_training_again_gives_the_same_certificate(made: Made) -> None:
    again = pretrained(made, OneRankBackend(), name="again")
    assert again.manifest.files["parity.json"] == made.base.manifest.files["parity.json"]


@pytest.mark.parametrize("harm", [spoil, lambda folder: (folder / "parity.json").unlink()])
def test_an_export_changed_after_its_certificate_is_not_published(made: Made, harm: object) -> None:
    assert callable(harm)
    with pytest.raises(StageError, match=r"published; run again"):
        pretrained(made, OneRankBackend(afterwards=harm), name="spoiled")
    assert not (made.folder / "spoiled").exists()


def test_what_was_compared_is_shown_by_language(made: Made) -> None:
    shown: dict[str, list[object]] = {}

    class Noting(NullProgress):
        def table(self, key: str, rows: object, description: str) -> None:
            assert isinstance(rows, list)
            shown[key] = [row["language"] for row in rows]

    run = make_training_run(made.folder, OneRankBackend(), name="shown")
    pretrain(PRETRAIN, *made.inputs, replace(run, progress=Noting()))
    assert shown["parity"] == list(LANGUAGES)


def test_a_chat_model_is_published_with_a_template_that_gives_the_ids_of_training(
    made: Made, tmp_path: Path
) -> None:
    chat = tuned(made, tmp_path, OneRankBackend())
    parity = json.loads((chat.path / "parity.json").read_text(encoding="utf-8"))
    assert [(row["language"], row["texts"]) for row in parity["languages"]] == [
        (code, 2) for code in LANGUAGES
    ]
    opened = AutoTokenizer.from_pretrained(chat.path, local_files_only=True)
    assert isinstance(opened, PreTrainedTokenizerFast)
    question = Message("user", QUESTIONS["deu_Latn"])
    text = opened.apply_chat_template(
        [{"role": "user", "content": question.content}], add_generation_prompt=True, tokenize=False
    )
    twin = tokenizers.HuggingFaceTwin(made.base.path)
    assert opened.encode(text, add_special_tokens=False) == encode_prompt([question], twin)


def test_a_chat_model_changed_after_its_certificate_is_not_published(
    made: Made, tmp_path: Path
) -> None:
    with pytest.raises(StageError, match=r"generation_config\.json: not as when"):
        tuned(made, tmp_path, OneRankBackend(afterwards=spoil))
    assert not (tmp_path / "08").exists()


def test_the_sample_is_held_out_text_with_its_ids(made: Made, tmp_path: Path) -> None:
    pieces = tokenizers.load(made.tokenizer.path / tokenizers.MODEL_FILE)
    write_text_sample(tmp_path / "sample.json", made.tokens, pieces, LANGUAGES)
    texts = read_sample(tmp_path / "sample.json").texts
    assert [text.language for text in texts] == ["eng_Latn"] * 2 + ["deu_Latn"] * 2
    assert all(list(text.ids) == pieces.encode(text.text) for text in texts)
    assert len({text.text for text in texts}) == 4


def test_control_pieces_that_a_document_spells_out_are_left_out_of_the_sample(
    made: Made, tmp_path: Path
) -> None:
    pieces = tokenizers.load(made.tokenizer.path / tokenizers.MODEL_FILE)
    tokens = replace(made.tokens, path=tmp_path)
    with TokenFileWriter(tmp_path / "held_out/eng_Latn", vocab_size=420) as writer:
        for text in ("</s> first", "open <s>struck</s> file", "menu"):
            writer.add([*pieces.encode(text), pieces.eos_id])
    write_text_sample(tmp_path / "sample.json", tokens, pieces, ["eng_Latn"])
    texts = read_sample(tmp_path / "sample.json").texts
    assert [text.text for text in texts] == ["open ", "menu"]


def test_a_language_without_held_out_text_is_named(made: Made, tmp_path: Path) -> None:
    pieces = tokenizers.load(made.tokenizer.path / tokenizers.MODEL_FILE)
    with TokenFileWriter(tmp_path / "held_out/eng_Latn", vocab_size=420) as writer:
        writer.add([pieces.eos_id])
    with pytest.raises(StageError, match=r"eng_Latn has no held-out text.*held_out\.share"):
        write_text_sample(
            tmp_path / "s.json", replace(made.tokens, path=tmp_path), pieces, ["eng_Latn"]
        )


def test_chats_that_text_cannot_say_are_left_out_of_the_sample(made: Made, tmp_path: Path) -> None:
    twin = tokenizers.HuggingFaceTwin(made.base.path)
    kept, *others = chats(4)[::2]
    turns = [
        (Message("user", "<s>"), Message("assistant", "a")),
        (Message("user", "a▁b"), Message("assistant", "a")),
        (*others[0].messages, *others[0].messages),
    ]
    unclear = [replace(chat, messages=own) for chat, own in zip(others, turns, strict=True)]
    write_chat_sample(tmp_path / "sample.json", [*unclear, kept], twin, ["eng_Latn"])
    (text,) = read_sample(tmp_path / "sample.json").texts
    assert text.messages[1]["content"] == kept.messages[1].content
    with pytest.raises(StageError, match="no chat with one answer in eng_Latn"):
        write_chat_sample(tmp_path / "sample.json", unclear, twin, ["eng_Latn"])
