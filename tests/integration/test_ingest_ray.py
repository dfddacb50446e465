"""`ingest` on a private Ray: the same bytes as in one process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from polylm_core.compute.on_ray import RayBackend
from polylm_core.compute.private_ray import private_ray_folder
from polylm_core.errors import SourceError
from tests.support import make_run
from tests.unit.stages.ingest_inputs import LANGUAGES, run_files
from tests.unit.stages.test_ingest_units import FILES, SWAHILI

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def _own_ray_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)  # a private Ray's folder is named after the checkout
    folder = private_ray_folder()
    yield
    shutil.rmtree(folder)


@pytest.mark.slow
def test_ray_and_one_process_give_the_same_bytes_and_the_same_error(tmp_path: Path) -> None:
    backend = RayBackend(
        address=None, training_workers=1, threads_per_worker=1, use_gpu=False, private_cpus=2
    )
    alone = run_files(tmp_path / "alone", SWAHILI, FILES)
    run = replace(make_run(tmp_path, languages=LANGUAGES), backend=backend)
    assert run_files(tmp_path, SWAHILI, FILES, run=run).fingerprint == alone.fingerprint
    with pytest.raises(SourceError, match=r"z\.jsonl: holds no record"):
        run_files(tmp_path, SWAHILI, {**FILES, "z.jsonl": b""}, run=run)
