"""A key that nobody knows is told with the one that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from polylm_core.errors import ParamsError
from polylm_core.params import load_params
from polylm_core.settings import load_profile
from tests.architecture.closure import ROOT


def told(tmp_path: Path, place: tuple[str | int, ...], key: str) -> str:
    """What is said of a recipe with one more key."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    section = content
    for part in place:
        section = section[part]
    section[key] = 1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        load_params(tmp_path / "params.yaml")
    (problem,) = caught.value.problems
    return f"{problem.location} {problem.message}"


@pytest.mark.parametrize(
    ("place", "key", "meant"),
    [
        ((), "language", "languages"),
        (("pretrain", "optimizer"), "peak_lr_rate", "peak_learning_rate"),
        (("pretrain", "model"), "n_layers", "num_layers"),
        (("mix", "stages", 1), "biligual_share", "bilingual_share"),
        (("finetune", "phases", 0), "learningrate", "learning_rate"),
    ],
)
def test_the_nearest_key_is_named(
    tmp_path: Path, place: tuple[str | int, ...], key: str, meant: str
) -> None:
    path = ".".join(map(str, (*place, key)))
    assert told(tmp_path, place, key) == f"{path} is no parameter; did you mean {meant}?"


def test_where_none_is_near_the_known_ones_are_listed(tmp_path: Path) -> None:
    said = told(tmp_path, ("vocab",), "xxxxxx")
    assert said.startswith("vocab.xxxxxx is no parameter; known here: ")
    assert "vocab_size" in said


def test_a_profile_is_told_the_same(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("training: {micro_batch: 4, worker: 2}", encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        load_profile(tmp_path, "mine")
    assert [problem.message for problem in caught.value.problems] == [
        "is no parameter; did you mean micro_batch_sequences?",
        "is no parameter; did you mean workers?",
    ]
