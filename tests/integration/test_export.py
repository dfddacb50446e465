"""`pretrain` on ZeRO-3 ranks for real: what it publishes is the model that trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from polylm_core.artifacts import BaseModelFolder, Tokenizer
from polylm_core.compute.local import LocalBackend
from polylm_core.errors import TrainingError
from polylm_core.stages.base import StageRun
from polylm_core.stages.pretrain.stage import pretrain
from polylm_core.storage import write_atomic
from tests.encoded import PRETRAIN, make_encoded
from tests.support import TRAINING, make_run

pytestmark = pytest.mark.timeout(300)


class OtherTokenizer(LocalBackend):
    """Ranks on this machine, to whom somebody gives another tokenizer than trained on."""

    def launch(self, worker: str, config: Mapping[str, Any], **named: Any) -> None:
        file = Path(config["export"]["tokenizer_folder"]) / "tokenizer.json"
        twin = json.loads(file.read_text(encoding="utf-8"))
        twin["model"]["merges"] = twin["model"]["merges"][:20]
        write_atomic(file, json.dumps(twin).encode())
        super().launch(worker, config, **named)


def run_of(folder: Path, backend: LocalBackend) -> StageRun:
    two = {"workers": 2, "micro_batch_sequences": 4, "persistent_parameter_elements": 100}
    training = TRAINING.model_copy(update=two if backend.training_workers == 2 else {})
    return replace(make_run(folder, name="06_base"), backend=backend, training=training)


def publish(folder: Path, backend: LocalBackend) -> BaseModelFolder:
    tokens, mixture = make_encoded(folder)
    tokenizer = Tokenizer.load(folder / "03_tokenizer")
    config = PRETRAIN.model_copy(update={"matmul_precision": "medium"})
    return pretrain(config, tokenizer, tokens, mixture, run_of(folder, backend))


def test_what_two_ranks_trained_is_published_with_its_certificate(tmp_path: Path) -> None:
    backend = LocalBackend(map_workers=1, training_workers=2, threads_per_worker=1)
    base = publish(tmp_path, backend)
    parity = json.loads((base.path / "parity.json").read_text(encoding="utf-8"))
    assert [row["language"] for row in parity["languages"]] == ["eng_Latn", "deu_Latn"]
    assert all(row["logit_difference"] <= 1e-6 for row in parity["languages"])
    assert all(row["positions"] == 32 for row in parity["languages"])
    assert parity["sha256"].keys() < base.manifest.files.keys()
    model = AutoModelForCausalLM.from_pretrained(base.path, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(base.path, local_files_only=True)
    assert sum(value.numel() for value in model.parameters()) == parity["parameters"]
    ids = torch.tensor([tokenizer.encode("open the file menu", add_special_tokens=False)])
    assert model(input_ids=ids).logits.shape == (1, ids.shape[1], 420)


def test_a_rank_that_was_given_another_tokenizer_publishes_nothing(tmp_path: Path) -> None:
    backend = OtherTokenizer(map_workers=1, training_workers=1, threads_per_worker=1)
    with pytest.raises(TrainingError, match=r"(?s)eng_Latn: the tokenizer gives.*deu_Latn"):
        publish(tmp_path, backend)
    assert not (tmp_path / "06_base").exists()
