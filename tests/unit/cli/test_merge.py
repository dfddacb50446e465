"""`polylm merge-adapter`: one folder that is model and adapter together, or why there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from polylm_core.artifacts import ChatModelFolder
from polylm_core.cli import merge
from polylm_core.errors import TrainingError
from polylm_core.training.certificate import require_certificate
from tests.one_rank import OneRankBackend, Pretrained
from tests.unit.cli.test_main import polylm
from tests.unit.stages.test_finetune_phases import ENGLISH, FIRST, GERMAN, run
from tests.unit.stages.test_finetune_published import make_config


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> ChatModelFolder:
    made = Pretrained(tmp_path_factory.mktemp("made"))
    config = make_config(FIRST, ENGLISH, GERMAN)
    return run(config, made, tmp_path_factory.mktemp("chat"), OneRankBackend())


def test_a_merged_model_says_what_model_and_adapter_say(
    chat: ChatModelFolder, tmp_path: Path
) -> None:
    out = tmp_path / "merged"
    told = merge.merged(chat.path, "german", out)
    assert told["architecture"] == "GPT2LMHeadModel"
    assert [row["language"] for row in told["differences_from_model_and_adapter"]]
    require_certificate(out)
    ids = torch.tensor([[5, 9, 12, 30]])
    base = AutoModelForCausalLM.from_pretrained(chat.path, local_files_only=True)
    plain = base(input_ids=ids).logits
    expected = PeftModel.from_pretrained(base, chat.path / "adapters/german")(input_ids=ids).logits
    found = AutoModelForCausalLM.from_pretrained(out, local_files_only=True)(input_ids=ids).logits
    assert torch.allclose(found, expected, atol=1e-4)
    assert not torch.allclose(found, plain, atol=1e-3)
    opened = AutoTokenizer.from_pretrained(out, local_files_only=True)
    assert opened.chat_template
    assert (out / "generation_config.json").is_file()


def test_what_cannot_be_merged_is_named(chat: ChatModelFolder, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no adapter 'french'; it has english, german"):
        merge.merged(chat.path, "french", tmp_path / "merged")
    (tmp_path / "there").mkdir()
    with pytest.raises(TrainingError, match="is there already"):
        merge.merged(chat.path, "german", tmp_path / "there")


def test_an_adapter_of_another_model_is_refused(chat: ChatModelFolder, tmp_path: Path) -> None:

    copy = tmp_path / "chat"
    shutil.copytree(chat.path, copy)
    file = copy / "adapters/german/adapter_model.safetensors"
    tensors = load_file(file)
    tensors["base_model.model.other.lora_A.weight"] = tensors.pop(sorted(tensors)[0])
    save_file(tensors, file)
    with pytest.raises(TrainingError, match=r"does not fit"):
        merge.merged(copy, "german", tmp_path / "merged")


def test_the_command_ends_with_one_line_for_a_mistake(tmp_path: Path) -> None:
    done = polylm("merge-adapter", str(tmp_path), "x", str(tmp_path / "out"), folder=tmp_path)
    assert done.returncode == 1
    assert "it has none at all" in done.stderr
    assert "Traceback" not in done.stderr
