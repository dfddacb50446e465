"""Payloads, claims and DVC's remote in a bucket of a real S3 server, whole and failing.

Only here: 20 % of the requests fail (503, bodies that are cut, time-outs) and no byte is wrong.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from polylm_core import claims, remote
from polylm_core.artifacts import TokenSet, partial_folder, publish
from polylm_core.claims import Claim
from polylm_core.errors import CorruptArtifactError, LockedError
from polylm_core.payloads import Payloads
from polylm_core.settings import Storage
from tests.bucket import KEYS, serve_bucket
from tests.faulty_proxy import Faults, failing

pytestmark = pytest.mark.timeout(300)
NUM_FILES, FILE_BYTES = 24, 200_000
STORE = "s3://results/polylm"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an S3 server with an empty bucket."""
    with serve_bucket(tmp_path_factory.mktemp("weed"), {"results/empty": b""}) as url:
        yield url


@pytest.fixture(autouse=True)
def credentials(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": server}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "S3_READ_SECONDS", 1.0)
    s3fs.S3FileSystem.clear_instance_cache()  # which clients there are, no environment decides


def make(folder: Path, seed: int) -> TokenSet:
    lots = random.Random(seed)
    partial = partial_folder(folder / "04_tokens")
    for number in range(NUM_FILES):
        (partial / f"{number}.bin").write_bytes(lots.randbytes(FILE_BYTES))
    (partial / "small").write_bytes(b"small")
    return publish(TokenSet, partial, folder / "04_tokens", inputs={}, params={}, counts={})


def payloads(folder: Path, runs: str) -> Payloads:
    return Payloads(Storage(payloads=STORE, max_dvc_bytes=1_000), folder / runs)


def there_and_back(folder: Path, seed: int) -> float:
    """Send an artifact and load it on another machine; return the seconds."""
    made = make(folder, seed)
    before = {file.name: hashlib.sha256(file.read_bytes()) for file in made.path.iterdir()}
    began = time.monotonic()
    assert payloads(folder, "here").send(made) == NUM_FILES * FILE_BYTES
    loaded = payloads(folder, "there").load(TokenSet, made.path)
    seconds = time.monotonic() - began
    after = {file.name: hashlib.sha256(file.read_bytes()) for file in loaded.path.iterdir()}
    assert {n: h.digest() for n, h in after.items()} == {n: h.digest() for n, h in before.items()}
    return seconds


def test_with_a_fifth_of_the_requests_failing_no_byte_is_wrong(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = there_and_back(tmp_path / "clean", 1)
    with failing(server, Faults(share=0.2)) as faults:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faults.url)
        s3fs.S3FileSystem.clear_instance_cache()
        faulty = there_and_back(tmp_path / "faulty", 2)
    print(f"clean {clean:.1f} s, faulty {faulty:.1f} s, {dict(faults.counts)}")
    assert min(faults.counts[kind] for kind in ("busy", "cut", "late", "whole")) > 0


def test_a_damaged_object_is_refused_and_named(tmp_path: Path) -> None:
    made = make(tmp_path, 3)
    here = payloads(tmp_path, "here")
    here.send(made)
    address = here.address(made.manifest.files["7.bin"].sha256)
    assert address is not None
    filesystem, path = remote.filesystem_of(address)
    filesystem.pipe_file(path, b"x" * FILE_BYTES)
    with pytest.raises(CorruptArtifactError, match=r"04_tokens/7\.bin: not in the store as it was"):
        payloads(tmp_path, "there").load(TokenSet, made.path)


def test_a_claim_keeps_a_second_run_out_and_a_dead_runs_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEW_SECONDS", 0.3)
    monkeypatch.setattr(claims, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(claims, "LEASE_SECONDS", 4.0)
    address = payloads(tmp_path, "runs").claim_address("mix-0123456789abcdef")
    assert address == f"{STORE}/claims/mix-0123456789abcdef.json"
    with Claim(address, what="data/05_mixture", wait_seconds=1.0) as first:
        with pytest.raises(LockedError, match="already being made by process"):
            Claim(address, what="data/05_mixture", wait_seconds=0.5).__enter__()
        first.require_held()
    filesystem, path = remote.filesystem_of(address)
    assert not filesystem.exists(path)
    filesystem.pipe_file(path, b'{"host": "far", "machine": "another", "token": "t", "count": 1}')
    with Claim(address, what="data/05_mixture", wait_seconds=1.0) as taken:
        taken.require_held()


def test_a_store_without_the_object_says_so(tmp_path: Path) -> None:
    made = make(tmp_path, 4)
    here = payloads(tmp_path, "here")
    here.send(made)
    address = here.address(made.manifest.files["3.bin"].sha256)
    assert address is not None
    filesystem, path = remote.filesystem_of(address)
    filesystem.rm_file(path)
    with pytest.raises(CorruptArtifactError, match=r"3\.bin: not in the store"):
        payloads(tmp_path, "there").load(TokenSet, made.path)
    shutil.rmtree(tmp_path)
