"""A model in a bucket is fetched, or it is told why it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.models import fetch_models
from polylm_core.stages.curate.scratch import Setting
from tests.bucket import KEYS, in_process, serve_bucket
from tests.unit.stages.curate_stage import CONFIG, LANGUAGES
from tests.unit.stages.ingest_inputs import sha256_of

pytestmark = pytest.mark.timeout(180)
MODEL = bytes(range(256)) * 50


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve_bucket(tmp_path_factory.mktemp("weed"), {"corpora/models/lid.bin": MODEL}) as url:
        yield url


def fetch_from(folder: Path, location: str) -> bytes:
    """What stands in the work folder once curate has fetched its classifier of languages."""
    model = {"source": "models", "file": "lid.bin", "sha256": sha256_of(MODEL)}
    identify = {**CONFIG["identify"], "model": model}
    config = CurateConfig.model_validate({**CONFIG, "identify": identify})
    setting = Setting(config, 1, LANGUAGES, folder)
    fetch_models(setting, {"models": location})
    assert config.identify.model is not None
    return setting.model(config.identify.model).read_bytes()


def run_fetch(tmp_path: Path, **environment: str) -> tuple[int, str]:
    program = (
        "from pathlib import Path\n"
        "from tests.integration.test_remote_models import fetch_from\n"
        f"print(len(fetch_from(Path({str(tmp_path)!r}), 's3://corpora/models/')))\n"
    )
    done = in_process(program, **environment)
    return done.returncode, done.stdout.strip() or done.stderr.strip()


def test_a_model_in_a_bucket_is_fetched(tmp_path: Path, s3: str) -> None:
    assert run_fetch(tmp_path, AWS_ENDPOINT_URL=s3, **KEYS) == (0, str(len(MODEL)))


def test_a_model_without_credentials_is_told_with_its_address(tmp_path: Path, s3: str) -> None:
    status, output = run_fetch(tmp_path, AWS_ENDPOINT_URL=s3)
    assert status == 1
    told = output.splitlines()[-1]
    start = (
        "polylm_core.errors.SourceError: s3://corpora/models/lid.bin: cannot be read after 1 try"
    )
    assert told.startswith(f"{start} (NoCredentialsError: ")
    assert "credentials of this environment" in told
    assert list((tmp_path / "models").iterdir()) == []
