"""`encode` on a private Ray writes the bytes that it writes in one process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from polylm_core import records
from polylm_core.compute.on_ray import RayBackend
from polylm_core.compute.private_ray import private_ray_folder
from polylm_core.stages.encode.config import EncodeConfig
from polylm_core.stages.encode.stage import encode
from polylm_core.stages.vocab.config import VocabConfig
from polylm_core.stages.vocab.stage import vocab
from tests.shards import make_shards
from tests.support import make_run

pytestmark = pytest.mark.timeout(400)
LANGUAGES = ("eng_Latn", "tha_Thai")


@pytest.fixture(autouse=True)
def _own_ray_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)  # a private Ray's folder is named after the checkout
    folder = private_ray_folder()
    yield
    shutil.rmtree(folder)


@pytest.mark.slow
def test_the_same_bytes_come_from_ray_and_from_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "PART_ROWS", 8)
    shards = make_shards(
        tmp_path, languages=LANGUAGES, pair_languages=("tha_Thai",), num_documents=20
    )
    config = VocabConfig(vocab_size=420, character_coverage=0.999, sample_bytes=20_000)
    tokenizer = vocab(config, shards, make_run(tmp_path, languages=LANGUAGES, name="vocab"))
    backend = RayBackend(
        address=None, training_workers=1, threads_per_worker=1, use_gpu=False, private_cpus=2
    )
    run = make_run(tmp_path, languages=LANGUAGES)
    here = encode(EncodeConfig(), shards, tokenizer, replace(run, out=tmp_path / "here"))
    ray = replace(run, out=tmp_path / "ray", backend=backend)
    assert encode(EncodeConfig(), shards, tokenizer, ray).fingerprint == here.fingerprint
