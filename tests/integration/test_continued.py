"""A Llama from elsewhere, with fewer pieces: pretrained further, tuned on chats and evaluated."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from polylm_core.artifacts import BaseModelFolder, InstructionSet, partial_folder, publish
from polylm_core.compute.local import LocalBackend
from polylm_core.errors import TrainingError
from polylm_core.records import INSTRUCTION_SCHEMA, Instruction, Message, write_table
from polylm_core.settings import TrainingExecution
from polylm_core.stages.base import StageRun
from polylm_core.stages.encode.config import EncodeConfig
from polylm_core.stages.encode.stage import encode
from polylm_core.stages.evaluate.model import chat_prompt, generate, load_model
from polylm_core.stages.finetune.config import FinetuneConfig, FullMethod, PhaseConfig
from polylm_core.stages.finetune.stage import finetune
from polylm_core.stages.mix.config import MixConfig
from polylm_core.stages.mix.stage import mix
from polylm_core.stages.pretrain.config import PretrainConfig
from polylm_core.stages.pretrain.stage import pretrain
from polylm_core.stages.vocab.config import VocabConfig
from polylm_core.stages.vocab.stage import vocab
from polylm_core.storage import sha256_file
from polylm_core.training.model import build_model
from tests.engines import LLAMA, make_shape
from tests.shards import make_shards
from tests.support import make_run

pytestmark = pytest.mark.timeout(600)
LANGUAGES = ("eng_Latn", "deu_Latn")
OLD_PIECES, PIECES, CONTEXT = 380, 400, 64
MODEL: dict[str, Any] = LLAMA | {
    "num_layers": 2,
    "hidden_size": 32,
    "num_heads": 2,
    "context_tokens": CONTEXT,
    "initializer_std": 0.02,
}


def run_in(folder: Path, name: str) -> StageRun:
    """A stage run that trains on one rank of this machine."""
    folder.mkdir(exist_ok=True)
    return dataclasses.replace(
        make_run(folder, name=name),
        backend=LocalBackend(map_workers=1, training_workers=1, threads_per_worker=1),
        training=TrainingExecution(workers=1, sharding="none"),
    )


def old_model(folder: Path) -> dict[str, Any]:
    """Write the model that is gone on from; return how a recipe declares it."""
    shape = {name: value for name, value in MODEL.items() if name != "architecture"}
    model = build_model(make_shape("llama", vocab_size=OLD_PIECES, **shape), seed=3)
    model.save_pretrained(folder)
    names = ("config.json", "model.safetensors")
    sha256 = {name: sha256_file(folder / name) for name in names}
    return {"uri": str(folder), "license": "Apache-2.0", "sha256": sha256}


def pretrained(folder: Path, **model: Any) -> BaseModelFolder:
    """Run the stages up to `pretrain`, which learns next to nothing."""
    shards = make_shards(folder, languages=LANGUAGES)
    learned = VocabConfig(vocab_size=PIECES, character_coverage=0.999, sample_bytes=50_000)
    tokenizer = vocab(learned, shards, make_run(folder, name="tokenizer"))
    encoding = EncodeConfig(max_tokens_per_document=None)
    tokens = encode(encoding, shards, tokenizer, make_run(folder, name="tokens"))
    stage = {"name": "a", "share_of_tokens": 1, "non_english_share": 0.5, "bilingual_share": 0}
    recipe = {"tokens": 600, "sampling_exponent": 0.3, "max_epochs": 9, "stages": [stage]}
    mixture = mix(MixConfig.model_validate(recipe), tokens, make_run(folder, name="mixture"))
    config = PretrainConfig.model_validate(
        {
            "revision": 1,
            "model": MODEL | model,
            "init_from": old_model(folder / "old"),
            "optimizer": {
                "peak_learning_rate": 1e-9,
                "warmup_start_learning_rate": 0,
                "warmup_tokens": 0,
            },
            "precision": "float32",
            "matmul_precision": "highest",
            "global_batch_tokens": 2 * CONTEXT,
            "validate_every_steps": 2,
            "validation_tokens_per_language": CONTEXT,
        }
    )
    return pretrain(config, tokenizer, tokens, mixture, run_in(folder / "base", "artifact"))


def chats(folder: Path) -> InstructionSet:
    """A few chats to tune on."""
    rows = [
        Instruction(
            id=f"i/eng_Latn/{number}",
            language="eng_Latn",
            prompt_language="eng_Latn",
            origin="cross-lingual",
            license="CC0-1.0",
            messages=(Message("user", "open"), Message("assistant", "close")),
        )
        for number in range(4)
    ]
    partial = partial_folder(folder / "instructions")
    for name in ("train.parquet", "held_out.parquet"):
        write_table(partial / name, rows, INSTRUCTION_SCHEMA)
    return publish(
        InstructionSet, partial, folder / "instructions", inputs={}, params={}, counts={}
    )


def test_a_llama_is_pretrained_further_tuned_and_answers(tmp_path: Path) -> None:
    base = pretrained(tmp_path)
    found = load_file(base.path / "model.safetensors")
    old = load_file(tmp_path / "old/model.safetensors")
    assert found.keys() == old.keys()
    pieces = found["model.embed_tokens.weight"]
    assert pieces.shape == (PIECES, 32)
    assert torch.allclose(pieces[:OLD_PIECES], old["model.embed_tokens.weight"], atol=1e-6)
    mean = old["model.embed_tokens.weight"].mean(0)
    assert torch.allclose(pieces[OLD_PIECES:], mean.expand(PIECES - OLD_PIECES, -1), atol=1e-6)
    config = FinetuneConfig(
        revision=1,
        phases=(
            PhaseConfig(
                name="only",
                method=FullMethod(kind="full"),
                learning_rate=0.01,
                warmup_share=0.0,
                weight_decay=0.0,
                epochs=8,
                global_batch_tokens=CONTEXT,
            ),
        ),
        max_gradient_norm=1.0,
        precision="float32",
        matmul_precision="highest",
    )
    chat = finetune(config, base, chats(tmp_path), run_in(tmp_path / "chat", "artifact"))
    counts = chat.manifest.counts["phases"]["only"]
    assert counts["last_loss"] < counts["first_loss"]
    loaded = load_model(chat.path, chat.fingerprint, None)
    assert loaded.context_tokens == CONTEXT
    prompt = chat_prompt(loaded, [{"role": "user", "content": "open"}])
    answers = generate(loaded, [prompt], max_new_tokens=4, repetition_penalty=1.0)
    assert answers[0].tokens > 0


def test_params_that_describe_another_model_are_refused_with_every_difference(
    tmp_path: Path,
) -> None:
    with pytest.raises(TrainingError, match=r"rope_theta is 10000\.0 there and 20000\.0 in the"):
        pretrained(tmp_path, rope_theta=20_000.0)
