"""The manifest makes an artifact exist; a changed byte makes it unusable."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.artifacts import (
    ADAPTERS,
    ChatModelFolder,
    Mixture,
    Tokenizer,
    TokenSet,
    adapters_of,
    partial_folder,
    publish,
)
from polylm_core.errors import (
    CorruptArtifactError,
    MismatchedArtifactError,
    MissingArtifactError,
)


def make(folder: Path, content: bytes = b"pieces") -> Tokenizer:
    partial = partial_folder(folder / "03_tokenizer")
    (partial / "huggingface").mkdir()
    (partial / "tokenizer.model").write_bytes(content)
    (partial / "huggingface/tokenizer.json").write_bytes(b"{}")
    return publish(
        Tokenizer,
        partial,
        folder / "03_tokenizer",
        inputs={"curate": "abc"},
        params={"vocab_size": 8},
        counts={"entries": 8},
    )


def test_a_published_artifact_loads_with_the_same_fingerprint(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert Tokenizer.load(tmp_path / "03_tokenizer").fingerprint == made.fingerprint
    assert not (tmp_path / ".03_tokenizer.partial").exists()


def test_equal_work_in_another_place_gives_equal_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    manifests = [(make(tmp_path / name).path / "manifest.json").read_bytes() for name in "ab"]
    assert manifests[0] == manifests[1]
    assert str(tmp_path).encode() not in manifests[0]


def test_without_a_manifest_the_stage_to_run_is_named(tmp_path: Path) -> None:
    made = make(tmp_path)
    (made.path / "manifest.json").unlink()
    with pytest.raises(MissingArtifactError, match="dvc repro vocab"):
        Tokenizer.load(made.path)


def test_opening_to_look_reads_the_manifest_alone(tmp_path: Path) -> None:
    made = make(tmp_path)
    (made.path / "tokenizer.model").unlink()
    assert Tokenizer.open(made.path).fingerprint == made.fingerprint
    with pytest.raises(CorruptArtifactError, match="expected TokenSet"):
        TokenSet.open(made.path)
    with pytest.raises(MissingArtifactError, match="dvc repro mix"):
        Mixture.open(tmp_path / "05_mixture")


def test_a_flipped_byte_names_the_file(tmp_path: Path) -> None:
    made = make(tmp_path)
    (made.path / "tokenizer.model").write_bytes(b"piecez")
    with pytest.raises(CorruptArtifactError, match=r"tokenizer\.model: sha256 is"):
        Tokenizer.load(made.path)


def test_a_missing_and_a_foreign_file_are_noticed(tmp_path: Path) -> None:
    made = make(tmp_path)
    (made.path / "stray.txt").write_text("?")
    with pytest.raises(CorruptArtifactError, match=r"stray\.txt: not part"):
        Tokenizer.load(made.path)
    (made.path / "stray.txt").unlink()
    (made.path / "huggingface/tokenizer.json").unlink()
    with pytest.raises(CorruptArtifactError, match=r"tokenizer\.json: missing"):
        Tokenizer.load(made.path)


def test_a_manifest_cut_short_is_told_from_a_missing_one(tmp_path: Path) -> None:
    made = make(tmp_path)
    manifest = made.path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:40])
    with pytest.raises(CorruptArtifactError, match="not a valid manifest"):
        Tokenizer.load(made.path)


def test_an_artifact_of_another_kind_is_refused(tmp_path: Path) -> None:
    made = make(tmp_path)
    with pytest.raises(CorruptArtifactError, match="holds Tokenizer"):
        Mixture.load(made.path)


def test_what_was_made_from_another_tokenizer_is_refused(tmp_path: Path) -> None:
    made = make(tmp_path)
    partial = partial_folder(tmp_path / "04_tokens")
    tokens = publish(
        TokenSet,
        partial,
        tmp_path / "04_tokens",
        inputs={"vocab": made.fingerprint},
        params={},
        counts={},
    )
    tokens.require_made_from("vocab", made)
    other = make(tmp_path, b"other pieces")
    with pytest.raises(MismatchedArtifactError, match="dvc repro encode"):
        tokens.require_made_from("vocab", other)


def test_the_adapters_of_a_chat_model_are_the_folders_of_its_phases(tmp_path: Path) -> None:
    partial = partial_folder(tmp_path / "08_chat")
    for name in ("spanish", "german"):
        (partial / ADAPTERS / name).mkdir(parents=True)
    (partial / ADAPTERS / "README.md").write_text("Two adapters.")
    made = publish(ChatModelFolder, partial, tmp_path / "08_chat", inputs={}, params={}, counts={})
    assert adapters_of(made.path) == ["german", "spanish"]
