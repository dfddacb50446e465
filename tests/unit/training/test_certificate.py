"""What is published carries a certificate that was made on its very bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.errors import StageError
from polylm_core.training.certificate import (
    PARITY_FILE,
    Certificate,
    LanguageParity,
    as_table,
    digests,
    require_certificate,
    write_certificate,
)

ROW = LanguageParity(
    language="eng_Latn", texts=2, tokens=90, positions=64, logit_difference=1e-6, same_argmax=1.0
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    certificate = Certificate(
        architecture="GPT2LMHeadModel",
        parameters=7,
        precision="float32",
        logit_tolerance=1e-4,
        eos_id=2,
        languages=(ROW,),
        sha256=digests(tmp_path),
    )
    write_certificate(tmp_path, certificate)
    return tmp_path


def test_a_certified_folder_passes_and_its_languages_are_shown(folder: Path) -> None:
    (row,) = as_table(require_certificate(folder))
    assert row == ROW.model_dump()


def test_a_folder_without_a_certificate_is_refused(folder: Path) -> None:
    (folder / PARITY_FILE).unlink()
    with pytest.raises(StageError, match=r"parity\.json does not say .*run again"):
        require_certificate(folder)


def test_a_certificate_of_nonsense_is_refused(folder: Path) -> None:
    (folder / PARITY_FILE).write_text('{"parameters": 7}')
    with pytest.raises(StageError, match="it has no seal"):
        require_certificate(folder)


@pytest.mark.parametrize("harm", ["changed", "missing", "added"])
def test_a_folder_of_other_bytes_than_certified_is_refused_by_file(folder: Path, harm: str) -> None:
    file = folder / ("model.safetensors" if harm != "added" else "tokenizer.json")
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(b"other")
    with pytest.raises(StageError, match=rf"{file.name}: not as when it was compared"):
        require_certificate(folder)
