"""Every shipped recipe and profile is a test case."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from polylm_core.errors import ParamsError
from polylm_core.params import load_params
from polylm_core.settings import load_profile
from polylm_core.stages.instruct.seeds import needed_seeds
from tests.architecture.closure import ROOT

RECIPES = [ROOT / "params.yaml", *sorted((ROOT / "recipes").rglob("*.yaml"))]
PROFILES = sorted((ROOT / "infra/profiles").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_shipped_recipe_is_valid(path: Path) -> None:
    load_params(path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_language_that_a_shipped_recipe_writes_in_has_seeds_or_gets_them(path: Path) -> None:
    needed_seeds(load_params(path).instruct, ROOT / "data/00_sources")


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_shipped_profile_is_valid(path: Path) -> None:
    load_profile(path.parent, path.stem)


@pytest.mark.parametrize("name", list(yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))))
def test_a_recipe_without_one_of_its_parts_is_refused(name: str, tmp_path: Path) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    del content[name]
    planted = tmp_path / "params.yaml"
    planted.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ParamsError, match=f"{name}: Field required"):
        load_params(planted)


def test_a_profile_with_a_value_of_the_recipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "planted.yaml").write_text("seed: 1\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="seed"):
        load_profile(tmp_path, "planted")
