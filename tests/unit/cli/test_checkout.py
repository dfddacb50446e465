"""Recipes are named by name or by file; a name that is none is told with those there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.cli.checkout import RECIPES, recipe_file
from polylm_core.errors import MachineError


def test_a_recipe_is_found_by_its_name_and_by_its_file() -> None:
    assert recipe_file("taco-laptop") == RECIPES / "taco-laptop.yaml"
    assert recipe_file("recipes/taco-laptop.yaml") == RECIPES / "taco-laptop.yaml"
    assert recipe_file("params.yaml") == Path("params.yaml")


def test_a_misspelled_name_is_told_with_the_recipes_there_are() -> None:
    with pytest.raises(
        MachineError, match=r"no recipe taco-laptpo; .*bayling2-laptop.*taco-laptop"
    ):
        recipe_file("taco-laptpo")


def test_what_a_file_lacks_is_for_its_loader_to_say() -> None:
    assert recipe_file("elsewhere/mine.yaml") == Path("elsewhere/mine.yaml")
