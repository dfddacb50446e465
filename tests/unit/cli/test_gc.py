"""What is old goes, with its bytes told first; what is paid for, wanted or at work stays."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from polylm_core.cli import gc
from polylm_core.params import load_params
from polylm_core.pipeline import SOURCES, STAGES, identity, sources_fingerprint
from polylm_core.storage import exclusive_lock
from tests.architecture.closure import ROOT
from tests.unit.cli.test_summary import make_artifact, record_run

OLD = "0123456789abcdef"
NO_CACHE = ("0 objects", 0)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe, its sources and profiles; DVC's own part is left to the last test."""
    shutil.copyfile(ROOT / "tests/recipes/tiny.yaml", tmp_path / "params.yaml")
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra/profiles").symlink_to(ROOT / "infra/profiles")
    (tmp_path / "data").mkdir()
    (tmp_path / SOURCES).symlink_to(ROOT / SOURCES)
    monkeypatch.setattr(gc, "_unused_cache", lambda root: NO_CACHE)
    return tmp_path


def work(root: Path, name: str, size: int = 1000) -> Path:
    folder = root / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state.bin").write_bytes(bytes(size))
    return folder


def what_becomes(root: Path, *, remove: bool = False) -> dict[str, str]:
    rows = gc.collected(root, remove=remove)["work folders"]
    return {row["folder"].removeprefix("runs/"): row["is"] for row in rows}


def test_a_dry_run_tells_the_bytes_and_removes_nothing(checkout: Path) -> None:
    folder = work(checkout, f"ingest-{OLD}", size=12_345)
    told = gc.collected(checkout, remove=False)
    assert told["to_free_bytes"] == 12_345
    assert folder.is_dir()


def test_an_old_folder_goes(checkout: Path) -> None:
    folder = work(checkout, f"ingest-{OLD}", size=12_345)
    told = gc.collected(checkout, remove=True)
    assert told["freed_bytes"] == 12_345
    assert told["work folders"] == [
        {"folder": f"runs/ingest-{OLD}", "bytes": 12_345, "is": "removed"}
    ]
    assert not folder.exists()


def test_what_is_paid_for_and_what_has_another_name_stay(checkout: Path) -> None:
    kept = [work(checkout, name) for name in ("kept/instruct", "notes", "ingest-mine")]
    assert what_becomes(checkout, remove=True) == {}
    assert all(folder.is_dir() for folder in kept)


def test_the_folder_that_made_the_artifact_stays(checkout: Path) -> None:
    fingerprint = make_artifact(checkout, "ingest")
    work(checkout, f"ingest-{OLD}")
    record_run(checkout, "mine", fingerprint=fingerprint)
    (checkout / "runs/mine/provenance.json").rename(checkout / f"runs/ingest-{OLD}/provenance.json")
    assert what_becomes(checkout, remove=True) == {f"ingest-{OLD}": "made data/01_documents"}


def test_a_killed_stage_still_finds_its_folder(checkout: Path) -> None:
    recipe = load_params(checkout / "params.yaml")
    sources = sources_fingerprint(checkout / SOURCES, recipe)
    now = STAGES["ingest"].work(identity(STAGES["ingest"], recipe, {}, sources)).name
    work(checkout, now)
    assert what_becomes(checkout, remove=True) == {now: "ingest goes on here"}
    text = (checkout / "params.yaml").read_text(encoding="utf-8")
    (checkout / "params.yaml").write_text(text.replace("seed: 7", "seed: 8"), encoding="utf-8")
    assert what_becomes(checkout) == {now: "old"}


def test_a_folder_that_cannot_be_judged_stays(checkout: Path) -> None:
    work(checkout, f"mix-{OLD}")
    told = what_becomes(checkout, remove=True)
    assert told == {f"mix-{OLD}": "data/04_tokens is not made: what is old cannot be told"}
    (checkout / "params.yaml").write_text("seed: -1\n", encoding="utf-8")
    assert "params.yaml has mistakes" in what_becomes(checkout, remove=True)[f"mix-{OLD}"]


def test_a_stage_that_runs_is_left_alone_and_so_is_the_cache(checkout: Path) -> None:
    work(checkout, f"ingest-{OLD}")
    with exclusive_lock(checkout / "runs/ingest.lock", what="ingest", wait_seconds=0):
        told = gc.collected(checkout, remove=True)
    assert told["work folders"][0]["is"] == "running"
    assert told["DVC cache"]["unused"] == "not looked at: a stage is running"


def test_copies_of_the_object_store_that_no_artifact_has_go(checkout: Path) -> None:
    fingerprint, kept = make_artifact(checkout, "ingest")[:16], "0" * 64  # the file it lists
    for sha256 in (kept, "1" * 64):
        copy = checkout / "runs/payloads" / sha256[:2] / sha256
        copy.parent.mkdir(parents=True)
        copy.write_bytes(bytes(500))
    for view in (fingerprint, OLD):
        (checkout / "runs/views" / view).mkdir(parents=True)
    copies = {"unused": 2, "unused_bytes": 500}
    assert gc.collected(checkout, remove=False)["copies of the object store"] == copies
    gc.collected(checkout, remove=True)
    left = {path.name for path in (checkout / "runs").glob("payloads/*/*")}
    assert left == {kept}
    assert [path.name for path in (checkout / "runs/views").iterdir()] == [fingerprint]


def test_dvc_removes_what_neither_the_workspace_nor_a_branch_uses(tmp_path: Path) -> None:
    def run(*command: str) -> None:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    dvc = (sys.executable, "-m", "dvc")
    run("git", "init", "-q")
    run(*dvc, "init", "-q")
    file = tmp_path / "a.txt"
    for content in ("committed", "forgotten" * 100, "there"):
        file.write_text(content, encoding="utf-8")
        run(*dvc, "add", "-q", "a.txt")
        if content == "committed":
            run("git", "add", "a.txt.dvc")
            run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "a")
    before = gc.collected(tmp_path, remove=False)
    assert before["DVC cache"] == {"unused": "1 objects", "unused_bytes": 900}
    assert gc.collected(tmp_path, remove=True)["freed_bytes"] == 900
    left = sorted(
        path.stat().st_size for path in (tmp_path / ".dvc/cache").rglob("*") if path.is_file()
    )
    assert left == [len("there"), len("committed")]
