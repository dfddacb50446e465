"""Sources that do not lie on this machine: HTTP, S3 and the hub, each a real server on loopback.

Only here: what a broken connection, a busy server and a wrong key do to a run.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polylm_core import remote
from polylm_core.artifacts import DocumentSet
from polylm_core.errors import SourceError
from polylm_core.stages.ingest.stage import ingest
from tests.bucket import KEYS, in_process, serve_bucket
from tests.loopback import Served, serve_files, serve_hub
from tests.support import make_run
from tests.unit.stages.ingest_inputs import LANGUAGES, config_of, run_files, sha256_of, texts_of

pytestmark = pytest.mark.timeout(180)
SWAHILI = {"format": "jsonl", "language": "swh_Latn"}
TEXTS = [f"Habari namba {number} ya leo. " * 40 for number in range(400)]
LINES = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
CONTENT = gzip.compress(LINES.encode(), mtime=0)
FILES = {"a.jsonl.gz": CONTENT, "b.jsonl.gz": CONTENT[:]}
REVISION = "ab" * 20


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(remote, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(remote, "REMOTE_BLOCK_BYTES", 4_096)
    folder = tmp_path / "web/dumps"
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    pq.write_table(pa.table({"text": TEXTS}), folder / "c.parquet")
    with serve_files(tmp_path / "web") as served:
        yield served


def run_from(tmp_path: Path, location: str, **declared: Any) -> DocumentSet:
    pinned = {name: sha256_of(content) for name, content in FILES.items()}
    run = replace(
        make_run(tmp_path, languages=LANGUAGES), source_locations={"mine": location + "/dumps"}
    )
    config = config_of({**SWAHILI, "files": pinned, **declared})
    return ingest(config, tmp_path / "nothing", run)


def test_files_over_http_give_the_bytes_of_files_on_disk(tmp_path: Path, served: Served) -> None:
    made = run_from(tmp_path, served.url)
    assert made.fingerprint == run_files(tmp_path / "disk", SWAHILI, FILES).fingerprint
    assert served.sent["dumps/a.jsonl.gz"] == len(CONTENT)


def test_a_table_over_http_is_fetched_once_and_not_kept(tmp_path: Path, served: Served) -> None:
    file = tmp_path / "web/dumps/c.parquet"
    pinned = {"c.parquet": sha256_of(file.read_bytes())}
    made = run_from(tmp_path, served.url, format="parquet", files=pinned)
    assert texts_of(made) == TEXTS
    assert served.sent["dumps/c.parquet"] == file.stat().st_size
    assert list((tmp_path / "work").rglob("fetched")) == []


@pytest.mark.parametrize("accepts_ranges", [True, False])
def test_reading_goes_on_after_broken_connections_and_a_busy_server(
    tmp_path: Path, served: Served, accepts_ranges: bool
) -> None:
    served.accepts_ranges = accepts_ranges
    served.errors["dumps/a.jsonl.gz"] = 2
    served.cuts["dumps/b.jsonl.gz"] = 2
    made = run_from(tmp_path, served.url)
    assert texts_of(made) == TEXTS * 2
    assert +served.errors == +served.cuts == {}


def test_a_server_that_stays_busy_is_named_with_the_address(tmp_path: Path, served: Served) -> None:
    served.errors["dumps/b.jsonl.gz"] = 99
    with pytest.raises(
        SourceError, match=r"http://127.*/dumps/b\.jsonl\.gz: cannot be read after 5"
    ):
        run_from(tmp_path, served.url)
    served.errors.clear()
    served.sent.clear()
    assert texts_of(run_from(tmp_path, served.url)) == TEXTS * 2
    assert served.sent["dumps/a.jsonl.gz"] == 0, "a finished file was read again"


def test_what_is_not_there_is_told_at_the_first_try(tmp_path: Path, served: Served) -> None:
    with pytest.raises(SourceError, match=r"gone\.jsonl: cannot be read after 1 try .FileNotFound"):
        run_from(tmp_path, served.url, files={"gone.jsonl": None}, version="1")


def test_a_name_with_signs_of_addresses_is_asked_for_as_it_is(
    tmp_path: Path, served: Served
) -> None:
    (tmp_path / "web/dumps/100% a#b.jsonl.gz").write_bytes(CONTENT)
    pinned = {"100% a#b.jsonl.gz": sha256_of(CONTENT)}
    assert texts_of(run_from(tmp_path, served.url, files=pinned)) == TEXTS


def test_other_bytes_than_declared_are_told_though_they_can_be_read(
    tmp_path: Path, served: Served
) -> None:
    with pytest.raises(SourceError, match=r"a\.jsonl\.gz: sha256 is"):
        run_from(tmp_path, served.url, files={"a.jsonl.gz": "0" * 64})


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that has the files in a bucket, and ends with the module."""
    files = {f"corpora/dumps/{name}": content for name, content in FILES.items()}
    with serve_bucket(tmp_path_factory.mktemp("weed"), files) as url:
        yield url


def run_bucket(tmp_path: Path, s3: str, bucket: str = "corpora") -> tuple[int, str]:
    program = (
        "from pathlib import Path\n"
        "from tests.integration.test_ingest_remote import run_from\n"
        f"print(run_from(Path({str(tmp_path)!r}), 's3://{bucket}').fingerprint)\n"
    )
    done = in_process(program, AWS_ENDPOINT_URL=s3, **KEYS)
    return done.returncode, done.stdout.strip() or done.stderr


def test_files_in_a_bucket_give_the_bytes_of_files_on_disk(tmp_path: Path, s3: str) -> None:
    status, output = run_bucket(tmp_path, s3)
    assert status == 0, output
    assert output == run_files(tmp_path / "disk", SWAHILI, FILES).fingerprint


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, s3: str) -> None:
    status, output = run_bucket(tmp_path, s3, bucket="nowhere")
    assert status == 1
    assert "SourceError: s3://nowhere/dumps/a.jsonl.gz: cannot be read after 1 try" in output


CARD = """---
configs:
- config_name: sw
  data_files:
  - {split: train, path: "sw/*.parquet"}
  - {split: test, path: "test/*.parquet"}
- config_name: en
  data_files: "en/*.jsonl.gz"
---
"""
SECOND = "train-00001-of-00002.parquet"
DATA_SET = {
    "format": "huggingface",
    "dataset": "acme/habari",
    "revision": REVISION,
    "configs": {"sw": "swh_Latn", "en": None},
}


def write_data_set(folder: Path) -> None:
    """A repository of two configurations, as its files lie at one commit."""
    for name in ("sw", "test", "en"):
        (folder / name).mkdir(parents=True)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    for number in (0, 1):
        table = pa.table({"text": TEXTS[number * 200 :][:200]})
        pq.write_table(table, folder / f"sw/train-{number:05d}-of-00002.parquet")
    pq.write_table(pa.table({"text": ["not to be read"]}), folder / "test/test.parquet")
    rows = ('{"text": "Good morning."}\n' * 9 + "broken\n").encode()
    (folder / "en/data.jsonl.gz").write_bytes(gzip.compress(rows))


def run_data_set(tmp_path: Path, locations: Mapping[str, str], **changes: Any) -> DocumentSet:
    run = replace(make_run(tmp_path, languages=LANGUAGES), source_locations=locations)
    return ingest(config_of({**DATA_SET, **changes}), tmp_path / "nothing", run)


def from_hub(tmp_path: Path, url: str, **changes: Any) -> tuple[int, str]:
    program = (
        "from pathlib import Path\n"
        "from tests.integration.test_ingest_remote import run_data_set\n"
        f"print(run_data_set(Path({str(tmp_path)!r}), {{}}, **{changes!r}).fingerprint)\n"
    )
    done = in_process(program, HF_ENDPOINT=url, HF_HOME=str(tmp_path / "hf"), DO_NOT_TRACK="1")
    return done.returncode, done.stdout.strip() or done.stderr


def test_a_data_set_of_the_hub_is_that_of_a_snapshot(tmp_path: Path) -> None:
    write_data_set(tmp_path / "hub/acme/habari" / REVISION)
    with serve_hub(tmp_path / "hub") as hub:
        status, output = from_hub(tmp_path, hub.url)
    assert status == 0, output
    snapshot = {"mine": str(tmp_path / "hub/acme/habari" / REVISION)}
    made = run_data_set(tmp_path / "disk", snapshot)
    assert output == made.fingerprint
    assert made.counts["documents"] == {"mine": {"swh_Latn": 400, "und": 9}}
    assert made.counts["skipped"] == {"mine": {"bad-json": 1}}
    assert texts_of(made)[-400:] == TEXTS


def test_the_first_files_of_each_configuration_are_enough(tmp_path: Path) -> None:
    folder = tmp_path / "hub/acme/habari" / REVISION
    write_data_set(folder)
    with serve_hub(tmp_path / "hub") as hub:
        status, output = from_hub(tmp_path, hub.url, first=1)
        assert hub.sent["sw/train-00000-of-00002.parquet"] > 0
        assert hub.sent[f"sw/{SECOND}"] == 0
    assert status == 0, output
    (folder / "sw" / SECOND).unlink()  # a snapshot holds what was fetched of it
    made = run_data_set(tmp_path / "disk", {"mine": str(folder)}, first=1)
    assert output == made.fingerprint
    assert made.counts["documents"] == {"mine": {"swh_Latn": 200, "und": 9}}


def test_what_a_hub_does_not_have_is_named(tmp_path: Path) -> None:
    write_data_set(tmp_path / "hub/acme/habari" / REVISION)
    with serve_hub(tmp_path / "hub") as hub:
        status, output = from_hub(tmp_path, hub.url, configs={"fr": None})
        assert status == 1
        assert "configuration 'fr' cannot be found" in output
        assert "Available: ['sw', 'en']" in output
        status, output = from_hub(tmp_path, hub.url, split="validation")
        assert "no split 'validation' in configuration" in output
        status, output = from_hub(tmp_path, hub.url, revision="cd" * 20)
        assert f"acme/habari@{'cd' * 20}: configuration" in output


def test_a_snapshot_of_another_commit_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "habari"
    write_data_set(folder)
    with pytest.raises(SourceError, match=r"no commit noted.*hf download --repo-type dataset"):
        run_data_set(tmp_path, {"mine": str(folder)})
    notes = folder / ".cache/huggingface/download/sw"
    notes.mkdir(parents=True)
    for commit, file in (("cd" * 20, "a"), (REVISION, "b")):
        (notes / f"{file}.metadata").write_text(f"{commit}\netag\n1.0\n")
    with pytest.raises(SourceError, match="cdcd"):
        run_data_set(tmp_path, {"mine": str(folder)})
    (notes / "a.metadata").unlink()
    assert len(texts_of(run_data_set(tmp_path, {"mine": str(folder)}))) == 409
