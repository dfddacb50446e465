"""Only a whole checkpoint counts; a damaged one is passed over for the one before."""

from __future__ import annotations

import json
from pathlib import Path

from polylm_core.storage import sha256_file
from polylm_core.training.checkpoint import latest


def make_checkpoint(folder: Path, step: int, content: bytes = b"weights") -> Path:
    checkpoint = folder / f"step-{step:08d}"
    checkpoint.mkdir(parents=True)
    shard = checkpoint / "shard.pt"
    shard.write_bytes(content)
    index = {"step": step, "files": {"shard.pt": sha256_file(shard)}}
    (checkpoint / "index.json").write_text(json.dumps(index))
    return checkpoint


def test_the_newest_checkpoint_is_found(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, 20)
    newest = make_checkpoint(tmp_path, 100)
    assert latest(tmp_path) == (100, newest)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert latest(tmp_path) is None


def test_a_flipped_byte_falls_back_to_the_checkpoint_before(tmp_path: Path) -> None:
    before = make_checkpoint(tmp_path, 20)
    damaged = make_checkpoint(tmp_path, 40)
    (damaged / "shard.pt").write_bytes(b"weightz")
    assert latest(tmp_path) == (20, before)


def test_a_checkpoint_cut_short_before_its_index_does_not_count(tmp_path: Path) -> None:
    before = make_checkpoint(tmp_path, 20)
    (make_checkpoint(tmp_path, 40) / "index.json").unlink()
    partial = tmp_path / ".step-00000060.partial"
    partial.mkdir()
    assert latest(tmp_path) == (20, before)


def test_a_missing_shard_is_noticed(tmp_path: Path) -> None:
    (make_checkpoint(tmp_path, 40) / "shard.pt").unlink()
    assert latest(tmp_path) is None
