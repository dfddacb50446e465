"""Commands read an artifact whole, also where its large files are in a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.artifacts import TokenSet, partial_folder, publish
from polylm_core.cli.whole import whole
from polylm_core.errors import MissingArtifactError
from polylm_core.payloads import Payloads
from polylm_core.settings import Storage


def make(root: Path) -> TokenSet:
    out = root / "data/04_tokens"
    partial = partial_folder(out)
    (partial / "large").write_bytes(b"x" * 100)
    return publish(TokenSet, partial, out, inputs={}, params={}, counts={})


def test_a_whole_artifact_and_what_is_none_are_read_where_they_are(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert whole(tmp_path, made.path) == made.path
    assert whole(tmp_path, tmp_path / "somebodys-model") == tmp_path / "somebodys-model"


def test_large_files_come_from_where_the_profile_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POLYLM_PROFILE", raising=False)
    made = make(tmp_path)
    store = tmp_path / "store"
    Payloads(Storage(payloads=str(store), max_dvc_bytes=10), tmp_path / "elsewhere").send(made)
    profile = tmp_path / "infra/profiles/laptop.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text("map_workers: 1\n")
    with pytest.raises(MissingArtifactError, match=r"storage\.payloads"):
        whole(tmp_path, made.path)
    profile.write_text(f"storage: {{payloads: {store}}}\n")
    assert (whole(tmp_path, made.path) / "large").read_bytes() == b"x" * 100
