"""Profiles: where and how wide, never what."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.errors import MachineError, ParamsError
from polylm_core.params import load_params
from polylm_core.pipeline import STAGES, identity
from polylm_core.settings import Profile, load_profile

ROOT = Path(__file__).parents[2]


def test_the_profile_is_chosen_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wide.yaml").write_text("map_workers: 64\n")
    monkeypatch.setenv("POLYLM_PROFILE", "wide")
    assert load_profile(tmp_path).map_workers == 64


def test_an_unknown_profile_names_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "laptop.yaml").write_text("{}\n")
    with pytest.raises(MachineError, match=r"no profile 'lptop'.*known: laptop"):
        load_profile(tmp_path, "lptop")


def test_mistakes_of_a_profile_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("map_workers: 0\nlaunch_backend: slurm\nmemory: 3\n")
    with pytest.raises(ParamsError) as caught:
        load_profile(tmp_path, "bad")
    assert {problem.location for problem in caught.value.problems} == {
        "map_workers",
        "launch_backend",
        "memory",
    }


def test_a_profile_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"ray_address: \xff\n")
    with pytest.raises(ParamsError, match=r"bad\.yaml.*\n.*not YAML"):
        load_profile(tmp_path, "bad")


def test_a_profile_shares_no_name_with_the_recipe() -> None:
    """What executes must not be mistakable for what identifies."""
    params = load_params(ROOT / "params.yaml")
    names = {name for stage in STAGES.values() for name in type(stage.config(params)).model_fields}
    assert names.isdisjoint(Profile.model_fields)


def test_identity_follows_the_recipe_and_the_inputs_only() -> None:
    params = load_params(ROOT / "params.yaml")
    stage = STAGES["ingest"]
    assert identity(stage, params, {}, "s") == identity(stage, params, {}, "s")
    assert identity(stage, params, {}, "s") != identity(stage, params, {}, "t")
    other = params.model_copy(update={"seed": params.seed + 1})
    assert identity(stage, params, {}, "s") != identity(stage, other, {}, "s")
