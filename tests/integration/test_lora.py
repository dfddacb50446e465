"""Adapters on one whole rank and on ZeRO-3 ranks: the same values, and exactly gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from polylm_core.compute.local import LocalBackend
from polylm_core.progress import NullProgress
from polylm_core.settings import CheckpointPolicy
from polylm_core.training.checkpoint import folder_of, read_index
from polylm_core.training.job import LoraShape, PackedData, TrainJob
from polylm_core.training.metrics import MetricsFile
from polylm_core.training.model import build_model
from polylm_core.training.run import run_job
from polylm_core.training.schedule import Schedule
from tests.engines import CONTEXT, VOCAB, make_engine_job, make_shape

pytestmark = pytest.mark.timeout(600)
STEPS = 6
TARGETS = {"llama": ("q_proj", "k_proj", "v_proj", "o_proj"), "gpt2": ("c_attn", "c_proj")}


def make_job(folder: Path, name: str, architecture: str, **changes: Any) -> TrainJob:
    """Adapters on a small model, over rows of two chats each."""
    base = folder / "base"
    if not base.exists():
        build_model(make_shape(architecture), seed=3).save_pretrained(base)
    random = np.random.default_rng(5)
    ids = random.integers(4, VOCAB, (24, CONTEXT + 1), dtype=np.int32)
    segments = np.repeat([[0, 1]], CONTEXT // 2, 0).T.reshape(1, -1).repeat(24, 0).astype(np.int32)
    np.savez(folder / "rows.npz", ids=ids[:, :-1], targets=ids[:, 1:], segments=segments)
    execution = {
        "workers": 1,
        "micro_batch_sequences": 2,
        "checkpoints": CheckpointPolicy(every_steps=2, keep_last=9),
    }
    return make_engine_job(
        folder / name,
        new_model=None,
        init_from=base,
        lora=LoraShape(rank=4, alpha=8, dropout=0.1, target_modules=TARGETS[architecture]),
        data=PackedData(rows_file=folder / "rows.npz", epochs=1, global_batch_windows=4),
        schedule=Schedule(num_steps=STEPS, warmup_steps=1, start=0.0, peak=2e-2, final=0.0),
        **(execution | changes),
    )


def trained(job: TrainJob) -> dict[str, torch.Tensor]:
    job.work.mkdir(parents=True, exist_ok=True)
    backend = LocalBackend(
        map_workers=1, training_workers=job.execution.workers, threads_per_worker=1
    )
    with backend:
        run_job(job, backend, NullProgress(), num_steps=STEPS, what="steps")
    return load_file(job.work / "export/adapter_model.safetensors")


def losses(job: TrainJob) -> list[float]:
    rows = MetricsFile(job.work / "metrics.jsonl").read()
    return [row.value for row in rows if row.metric == "loss"]


@pytest.mark.parametrize("architecture", ["llama", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_a_whole_rank_and_two_zero3_ranks_train_the_same_adapter_and_go_on_to_the_same_bytes(
    architecture: str, tmp_path: Path
) -> None:
    whole = make_job(tmp_path, "whole", architecture, sharding="none")
    shared = make_job(tmp_path, "shared", architecture, workers=2, micro_batch_sequences=1)
    one, two = trained(whole), trained(shared)
    assert losses(whole) == pytest.approx(losses(shared), abs=1e-5)
    assert losses(whole)[-1] < losses(whole)[0]
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(value, two[name], atol=1e-4), name
        assert value.any()
    index = read_index(folder_of(shared.work / "checkpoints", STEPS))
    assert index is not None
    assert all("lora_" in name for name in index.shapes)
    assert len(index.shapes) == len(two)

    before = losses(shared)
    shutil.rmtree(shared.work / "export")
    for step in (4, 6):
        shutil.rmtree(folder_of(shared.work / "checkpoints", step))
    again = trained(shared)
    assert all(torch.equal(again[name], value) for name, value in two.items())
    assert losses(shared) == before


def test_what_peft_makes_of_the_adapter_is_what_trained(tmp_path: Path) -> None:
    job = make_job(tmp_path, "job", "llama", sharding="none")
    trained(job)
    ids_BT = torch.arange(4, 4 + CONTEXT)[None]
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    plain = base(input_ids=ids_BT).logits
    logits = PeftModel.from_pretrained(base, job.work / "export")(input_ids=ids_BT).logits
    assert not torch.allclose(plain, logits, atol=1e-2)
    factors = load_file(job.work / "export/adapter_model.safetensors")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    with torch.no_grad():
        for name, first in factors.items():
            if "lora_A" not in name:
                continue
            second = factors[name.replace("lora_A", "lora_B")]
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            merged.get_submodule(module).weight += second @ first * 2
    assert torch.allclose(merged(input_ids=ids_BT).logits, logits, atol=1e-5)
