"""A chat model is scored with the adapter that was trained for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from polylm_core.artifacts import ADAPTERS, ChatModelFolder
from polylm_core.errors import StageError
from polylm_core.stages.evaluate.inputs import require_adapter
from polylm_core.stages.evaluate.model import load_model
from tests.unit.stages.evaluate_inputs import TEMPLATE, write_model

IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with an adapter that changes what it says."""
    path = tmp_path_factory.mktemp("chat")
    write_model(path, chat_template=TEMPLATE)
    model: Any = AutoModelForCausalLM.from_pretrained(path)
    shape = LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM")
    adapted = get_peft_model(model, shape)
    for name, factor in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(factor)
    adapted.save_pretrained(path / ADAPTERS / "spanish")
    return path


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(IDS).logits
    return found


def test_the_model_that_is_scored_says_what_model_and_adapter_say(folder: Path) -> None:
    base: Any = AutoModelForCausalLM.from_pretrained(folder)
    plain = logits(load_model(folder, "a", None).model)
    assert torch.allclose(plain, logits(base), atol=1e-5)
    adapted = PeftModel.from_pretrained(base, folder / ADAPTERS / "spanish").eval()
    scored = logits(load_model(folder, "a", "spanish").model)
    assert torch.allclose(scored, logits(adapted), atol=1e-4)
    assert not torch.allclose(scored, plain, atol=1e-2)


def chat_model(folder: Path, phases: int) -> ChatModelFolder:
    manifest: Any = SimpleNamespace(params={"phases": [{}] * phases})
    return ChatModelFolder(path=folder, manifest=manifest)


def test_a_model_of_adapters_alone_is_not_scored_without_one(folder: Path) -> None:
    only, also = chat_model(folder, 1), chat_model(folder, 2)
    with pytest.raises(StageError, match=r"state evaluate\.adapter: spanish"):
        require_adapter(None, only)
    require_adapter("spanish", only)
    require_adapter(None, also)


def test_an_adapter_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(StageError, match="'german'; the chat model has spanish"):
        require_adapter("german", chat_model(folder, 1))
