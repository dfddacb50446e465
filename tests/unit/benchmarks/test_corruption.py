"""500 flipped bits and files cut short are refused by file; one that nobody notices is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import corruption
from benchmarks.corruption import Damage, Target
from polylm_core.errors import CorruptArtifactError, MissingArtifactError
from tests.made_artifacts import make_artifacts
from tests.one_rank import one_rank

KINDS = 13
"""The sources, ten artifacts, certificates and checkpoints."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    with one_rank(folder / "rank"):
        return make_artifacts(folder / "run")


def test_every_damage_to_every_kind_is_refused_by_file(finished: Path) -> None:
    result = corruption.measure(finished, corruption.QUICK_TRIALS, seed=1)
    assert result["missed"] == []
    assert result["refused"] == 500
    assert len(result["by_kind"]) == KINDS
    assert min(result["by_kind"].values()) >= 500 // KINDS
    assert result["flips"] > 3 * result["cuts"] > 150


def test_what_is_not_made_is_named(tmp_path: Path, finished: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/00_sources").symlink_to(finished / "data/00_sources")
    with pytest.raises(MissingArtifactError, match="01_documents is not made; `make run`"):
        corruption.targets(tmp_path, tmp_path / "scratch")


def test_a_damage_is_mended_after_its_block(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    for damage, during in ((Damage(file, "flip", 1, 0), b"acc"), (Damage(file, "cut", 1), b"a")):
        with damage.done():
            assert file.read_bytes() == during
        assert file.read_bytes() == b"abc"


def refusing(message: str) -> Callable[[], None]:
    def use() -> None:
        raise CorruptArtifactError(message)

    return use


def crashing() -> None:
    raise KeyError("width")


@pytest.mark.parametrize(
    ("use", "wrong"),
    [
        (lambda: None, "went unnoticed"),
        (crashing, "ends in KeyError"),
        (refusing("something is damaged"), "the file is not named"),
    ],
)
def test_a_damage_that_is_met_wrongly_is_told(
    tmp_path: Path, use: Callable[[], None], wrong: str
) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    assert outcome_of(file, use).startswith(wrong)
    assert outcome_of(file, refusing(f"{file}: damaged")) == ""


def outcome_of(file: Path, use: Callable[[], None]) -> str:
    return corruption.outcome(Target("any", (file,), use), corruption.draw(1, 7, [file]))
