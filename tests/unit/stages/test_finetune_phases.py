"""Phases of fine-tuning: each on its own examples, from the last full model, resumed exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from polylm_core.artifacts import ChatModelFolder
from polylm_core.errors import StageError, TrainingError
from polylm_core.stages.finetune.config import FinetuneConfig
from polylm_core.stages.finetune.stage import finetune
from polylm_core.storage import sha256_file
from polylm_core.training.certificate import require_certificate
from polylm_core.training.loop import train_rank
from tests.one_rank import OneRankBackend, OnlyRank, Pretrained, make_training_run, one_rank
from tests.unit.stages.test_finetune_published import make_config, make_instructions

LORA = {
    "kind": "lora",
    "rank": 2,
    "alpha": 8,
    "dropout": 0.1,
    "target_modules": ["c_attn", "c_proj"],
}
FIRST = {"name": "first"}
ENGLISH = {"name": "english", "method": LORA, "languages": ["eng_Latn"], "global_batch_tokens": 32}
GERMAN = ENGLISH | {"name": "german", "languages": ["deu_Latn"], "learning_rate": 0.02}


class Stopped(Exception):
    """The machine was taken away."""


class StoppedBackend(OneRankBackend):
    """Notes which phases are launched; in the one of `phase` the rank dies at its n-th step."""

    def __init__(self, phase: str = "", at_step: int = 0) -> None:
        super().__init__()
        self.launched: list[str] = []
        self._phase, self._at_step = phase, at_step

    def launch(
        self,
        worker: str,
        config: Mapping[str, Any],
        *,
        work: Path,
        sizes: Sequence[int],
        on_report: Callable[[Mapping[str, float]], None],
        on_note: Callable[[str], None],
    ) -> None:
        self.launched.append(work.name.rpartition("-")[2])
        dies = self.launched[-1] == self._phase
        steps = 0

        class Mortal(OnlyRank):
            def growing(self) -> bool:
                nonlocal steps
                steps += 1
                if dies and steps == stop:
                    raise Stopped
                return False

        stop = self._at_step
        with one_rank(work):
            train_rank(Mortal(on_report), config)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return Pretrained(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def tuned(made: Pretrained, tmp_path_factory: pytest.TempPathFactory) -> ChatModelFolder:
    folder = tmp_path_factory.mktemp("tuned")
    return run(make_config(FIRST, ENGLISH, GERMAN), made, folder, OneRankBackend())


def run(
    config: FinetuneConfig, made: Pretrained, folder: Path, backend: OneRankBackend
) -> ChatModelFolder:
    stage_run = make_training_run(folder, backend, name="08_chat")
    training = stage_run.training.model_copy(
        update={"checkpoints": stage_run.training.checkpoints.model_copy(update={"every_steps": 2})}
    )
    instructions = make_instructions(folder / "07_instructions")
    return finetune(config, made.base, instructions, replace(stage_run, training=training))


def files(folder: Path) -> dict[str, str]:
    """Every file of the model and its adapters, but what differs with the settings."""
    return {
        file.relative_to(folder).as_posix(): sha256_file(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_an_adapter_hangs_on_the_last_full_model_and_opens_in_peft(
    made: Pretrained, tuned: ChatModelFolder, tmp_path: Path
) -> None:
    alone = run(make_config(FIRST), made, tmp_path, OneRankBackend())
    assert files(tuned.path)["model.safetensors"] == files(alone.path)["model.safetensors"]
    assert sorted(path.name for path in (tuned.path / "adapters").iterdir()) == [
        "english",
        "german",
    ]
    ids = torch.tensor([[5, 9, 12, 30]])
    logits = []
    for name in ("english", "german"):
        folder = tuned.path / "adapters" / name
        require_certificate(folder)
        base = AutoModelForCausalLM.from_pretrained(tuned.path, local_files_only=True)
        before = base(input_ids=ids).logits
        with_adapter = PeftModel.from_pretrained(base, folder)
        logits.append(with_adapter(input_ids=ids).logits)
        assert not torch.allclose(before, logits[-1], atol=1e-3)
    assert not torch.allclose(*logits, atol=1e-3)


def test_a_phase_has_the_examples_it_names(tuned: ChatModelFolder) -> None:
    counts = tuned.counts["phases"]
    assert {name: found["chats"] for name, found in counts.items()} == {
        "first": 40,
        "english": 20,
        "german": 20,
    }
    steps = [found["steps"] for found in counts.values()]
    curves = (tuned.path / "plots/steps.csv").read_text("utf-8").splitlines()[1:]
    assert [int(row.split(",")[0]) for row in curves] == list(range(1, sum(steps) + 1))


@pytest.mark.parametrize("phase", ["first", "english"])
def test_a_run_killed_in_a_phase_goes_on_there_and_comes_to_the_same_bytes(
    made: Pretrained, tuned: ChatModelFolder, tmp_path: Path, phase: str
) -> None:
    config = make_config(FIRST, ENGLISH, GERMAN)
    killed = StoppedBackend(phase, at_step=5)
    with pytest.raises(Stopped):
        run(config, made, tmp_path, killed)
    again = StoppedBackend()
    chat = run(config, made, tmp_path, again)
    names = [each.name for each in config.phases]
    assert killed.launched == names[: names.index(phase) + 1]
    assert again.launched == names[names.index(phase) :]
    (events,) = (tmp_path / "work-08_chat").glob(f"*-{phase}/events.jsonl")
    starts = [
        event["step"]
        for event in map(json.loads, events.read_text("utf-8").splitlines())
        if event["event"] == "start"
    ]
    assert starts == [0, 4]
    same, other = files(chat.path), files(tuned.path)
    del same["manifest.json"], other["manifest.json"]
    assert same == other


def test_full_phases_follow_one_another(made: Pretrained, tmp_path: Path) -> None:
    second = {"name": "second", "languages": ["deu_Latn"]}
    chat = run(make_config(FIRST, second), made, tmp_path, OneRankBackend())
    work = tmp_path / "work-08_chat"
    first = load_file(work / "work-08_chat-first/export/model.safetensors")
    last = load_file(chat.path / "model.safetensors")
    assert any(not torch.equal(first[name], last[name]) for name in first)
    assert not (chat.path / "adapters").exists()
    assert json.loads((work / "work-08_chat-second/ended.json").read_text("utf-8"))["chats"] == 20


def test_a_model_lies_as_far_from_its_base_as_the_phase_says(
    made: Pretrained, tmp_path: Path
) -> None:
    def published(name: str, method: dict[str, Any]) -> dict[str, torch.Tensor]:
        folder = tmp_path / name
        folder.mkdir()
        chat = run(make_config(FIRST | {"method": method}), made, folder, OneRankBackend())
        return load_file(chat.path / "model.safetensors")

    base = load_file(made.base.path / "model.safetensors")
    tuned = published("whole", {"kind": "full"})
    between = published("between", {"kind": "full", "tuned_share": 0.25})
    for name, value in between.items():
        torch.testing.assert_close(value, base[name] + 0.25 * (tuned[name] - base[name]))
    assert any(not torch.equal(between[name], base[name]) for name in base)


def test_adapters_alone_leave_the_base_model_as_it_is(made: Pretrained, tmp_path: Path) -> None:
    chat = run(make_config(ENGLISH), made, tmp_path, OneRankBackend())
    same = chat.manifest.files["model.safetensors"].sha256
    assert same == made.base.manifest.files["model.safetensors"].sha256
    assert (chat.path / "chat_template.jinja").is_file()
    assert (chat.path / "adapters/english/adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([{"origins": ["taco"]}], "phase instructions: no example of taco among the 40"),
        ([{"context_tokens": 17}], r"context_tokens \(17\) is more than the base model's context"),
        ([{"global_batch_tokens": 40}], r"global_batch_tokens \(40\) is not a multiple"),
        ([{"context_tokens": 2, "global_batch_tokens": 2}], "none of the 40 chats fits"),
    ],
)
def test_a_phase_that_cannot_be_is_named(
    made: Pretrained, tmp_path: Path, phases: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(StageError, match=message):
        run(make_config(*phases), made, tmp_path, OneRankBackend())


def test_a_target_that_the_model_has_not_is_named_with_those_it_has(
    made: Pretrained, tmp_path: Path
) -> None:
    method = LORA | {"target_modules": ["q_proj", "c_attn"]}
    with pytest.raises(TrainingError, match=r"q_proj: no matrix of a gpt2.*c_attn, c_fc, c_proj"):
        run(make_config(ENGLISH | {"method": method}), made, tmp_path, OneRankBackend())


def test_full_phases_come_before_adapters_and_names_are_unique() -> None:
    with pytest.raises(ValidationError, match="late is full and after a LoRA phase"):
        make_config(FIRST, ENGLISH, {"name": "late"})
    with pytest.raises(ValidationError, match="first is there more than once"):
        make_config(FIRST, FIRST)
