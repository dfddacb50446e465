"""Large files of artifacts: out of the folder, into a store, and back through the cache."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from polylm_core.artifacts import TokenSet, partial_folder, publish
from polylm_core.errors import CorruptArtifactError, MissingArtifactError
from polylm_core.payloads import Payloads
from polylm_core.settings import Storage

LARGE, SMALL = b"tokens " * 1_000, b"counts"


def make(folder: Path) -> TokenSet:
    out = folder / "04_tokens"
    partial = partial_folder(out)
    (partial / "train").mkdir()
    (partial / "train/deu_Latn.bin").write_bytes(LARGE)
    (partial / "train/deu_Latn.idx").write_bytes(SMALL)
    return publish(TokenSet, partial, out, inputs={}, params={}, counts={})


def store(folder: Path, *, runs: str = "runs", max_dvc_bytes: int = 1_000) -> Payloads:
    storage = Storage(payloads=str(folder / "store"), max_dvc_bytes=max_dvc_bytes)
    return Payloads(storage, folder / runs)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def blob(folder: Path) -> Path:
    sha256 = hashlib.sha256(LARGE).hexdigest()
    return folder / "store/sha256" / sha256[:2] / sha256


def test_a_large_file_leaves_the_folder_and_the_artifact_stays_the_same(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert store(tmp_path).send(made) == len(LARGE)
    assert files(made.path) == {"manifest.json", "train/deu_Latn.idx"}
    loaded = store(tmp_path).load(TokenSet, made.path)
    assert loaded.fingerprint == made.fingerprint
    assert (loaded.path / "train/deu_Latn.bin").read_bytes() == LARGE
    assert (loaded.path / "train/deu_Latn.idx").read_bytes() == SMALL
    assert loaded.path.name == made.path.name


def test_another_machine_fetches_it_once_and_reads_on_without_the_store(tmp_path: Path) -> None:
    made = make(tmp_path)
    store(tmp_path).send(made)
    there = store(tmp_path, runs="runs-of-another-machine")
    there.load(TokenSet, made.path)
    shutil.rmtree(tmp_path / "store")
    offline = Payloads(Storage(), there.runs)
    assert (offline.load(TokenSet, made.path).path / "train/deu_Latn.bin").read_bytes() == LARGE


def test_without_store_and_cache_it_is_told_what_is_missing(tmp_path: Path) -> None:
    made = make(tmp_path)
    store(tmp_path).send(made)
    with pytest.raises(MissingArtifactError, match=r"1 files \(7,000 bytes\).*storage\.payloads"):
        Payloads(Storage(), tmp_path / "elsewhere").load(TokenSet, made.path)


@pytest.mark.parametrize("damage", [LARGE[:-1], LARGE[:-1] + b"!", b""])
def test_a_damaged_copy_is_fetched_again_and_a_damaged_store_refused(
    tmp_path: Path, damage: bytes
) -> None:
    made, here = make(tmp_path), store(tmp_path)
    here.send(made)
    here.load(TokenSet, made.path)
    here.cached(hashlib.sha256(LARGE).hexdigest()).write_bytes(damage)
    assert (here.load(TokenSet, made.path).path / "train/deu_Latn.bin").read_bytes() == LARGE
    blob(tmp_path).write_bytes(damage)
    with pytest.raises(CorruptArtifactError, match=r"deu_Latn\.bin: not in the store as it was"):
        store(tmp_path, runs="new").load(TokenSet, made.path)


def test_a_damaged_small_file_is_named_where_it_lies(tmp_path: Path) -> None:
    made = make(tmp_path)
    store(tmp_path).send(made)
    (made.path / "train/deu_Latn.idx").write_bytes(b"count5")
    with pytest.raises(CorruptArtifactError, match=r"04_tokens/train/deu_Latn\.idx: sha256 is"):
        store(tmp_path).load(TokenSet, made.path)


def test_what_is_in_the_store_is_not_sent_again(tmp_path: Path) -> None:
    made = make(tmp_path)
    store(tmp_path).send(made)
    written = blob(tmp_path).stat().st_mtime_ns
    store(tmp_path).send(make(tmp_path / "again"))
    assert blob(tmp_path).stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", [LARGE[:-1] + b"!", LARGE[:-1]])
def test_what_is_damaged_in_the_store_is_sent_again(tmp_path: Path, damage: bytes) -> None:
    store(tmp_path).send(make(tmp_path))
    blob(tmp_path).write_bytes(damage)
    again = make(tmp_path / "again")
    store(tmp_path).send(again)
    assert blob(tmp_path).read_bytes() == LARGE
    there = store(tmp_path, runs="runs-of-another-machine")
    assert (there.load(TokenSet, again.path).path / "train/deu_Latn.bin").read_bytes() == LARGE


def test_a_damaged_copy_gives_way_to_the_file_that_was_just_made(tmp_path: Path) -> None:
    here = store(tmp_path)
    cached = here.cached(hashlib.sha256(LARGE).hexdigest())
    cached.parent.mkdir(parents=True)
    cached.write_bytes(LARGE[:-1] + b"!")
    made = make(tmp_path)
    here.send(made)
    shutil.rmtree(tmp_path / "store")
    assert (here.load(TokenSet, made.path).path / "train/deu_Latn.bin").read_bytes() == LARGE


def test_small_artifacts_and_profiles_without_a_store_change_nothing(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert store(tmp_path, max_dvc_bytes=len(LARGE)).send(made) == 0
    assert Payloads(Storage(max_dvc_bytes=0), tmp_path / "runs").send(made) == 0
    assert len(files(made.path)) == 3
    assert store(tmp_path).load(TokenSet, made.path).path == made.path


def test_a_store_that_cannot_be_written_leaves_the_artifact_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polylm_core.remote.FIRST_WAIT_SECONDS", 0.0)
    (tmp_path / "store").write_bytes(b"a file, where a folder is needed")
    made = make(tmp_path)
    with pytest.raises(Exception, match="cannot be"):
        store(tmp_path).send(made)
    assert len(files(made.path)) == 3


def test_what_a_run_wrote_of_itself_is_kept_in_the_store(tmp_path: Path) -> None:
    work = tmp_path / "runs/pretrain-0123456789abcdef"
    (work / "stacks").mkdir(parents=True)
    (work / "metrics.jsonl").write_text("{}\n")
    (work / "stacks/rank-0.txt").write_text("stack")
    (work / "cluster/0/logs").mkdir(parents=True)
    (work / "cluster/0/timeline.json").write_text("[]")
    (work / "cluster/0/logs/gcs_server.out").write_text("up\n")
    (work / "tune").mkdir()
    (work / "tune/metrics.jsonl").write_text("{}\n")
    (work / "logs").mkdir()
    (work / "logs/rank-0.log").write_text("step 1\n")
    (work / "checkpoint.bin").write_bytes(LARGE)
    store(tmp_path).keep_records(work)
    kept = tmp_path / "store/runs" / work.name
    assert files(kept) == {
        "metrics.jsonl",
        "stacks/rank-0.txt",
        "logs/rank-0.log",
        "cluster/0/timeline.json",
        "cluster/0/logs/gcs_server.out",
        "tune/metrics.jsonl",
    }


def test_records_have_no_secret_and_are_else_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUREAU_TOKEN", "s3cr3t-of-the-bureau")
    logs = tmp_path / "runs/pretrain-0123456789abcdef/logs"
    logs.mkdir(parents=True)
    said = b"asked with s3cr3t-of-the-bureau\r\n\xff\xfe and no end of line"
    (logs / "rank-0.log").write_bytes(said)
    store(tmp_path).keep_records(logs.parent)
    kept = tmp_path / "store/runs" / logs.parent.name / "logs/rank-0.log"
    assert kept.read_bytes() == said.replace(b"s3cr3t-of-the-bureau", b"[hidden]")
    assert (logs / "rank-0.log").read_bytes() == said


def test_records_that_are_there_are_not_sent_again(tmp_path: Path) -> None:
    work = tmp_path / "runs/mix-0123456789abcdef"
    work.mkdir(parents=True)
    (work / "events.jsonl").write_text("{}\n")
    sent = store(tmp_path).keep_records(work)
    kept = tmp_path / "store/runs" / work.name
    written = (kept / "events.jsonl").stat().st_mtime_ns
    (work / "prefect.jsonl").write_text("{}\n")
    store(tmp_path).keep_records(work, sent)
    assert files(kept) == {"events.jsonl", "prefect.jsonl"}
    assert (kept / "events.jsonl").stat().st_mtime_ns == written
