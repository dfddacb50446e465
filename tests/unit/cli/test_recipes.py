"""Recipes are listed, compared by their keys, and put in use without losing what was there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from polylm_core.cli import recipes
from polylm_core.errors import MachineError, ParamsError
from tests.architecture.closure import ROOT

TINY = ROOT / "tests/recipes/tiny.yaml"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "recipes").mkdir()
    shutil.copyfile(TINY, tmp_path / "params.yaml")
    shutil.copyfile(ROOT / "recipes/taco-laptop.yaml", tmp_path / "recipes/taco-laptop.yaml")
    return tmp_path


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_the_list_says_what_each_recipe_is(checkout: Path) -> None:
    first, second = recipes.listed(checkout, Path("recipes"))
    assert (first["recipe"], first["languages"], first["model"]) == (
        "params.yaml",
        3,
        "1 layers of 32",
    )
    assert first["pretraining_tokens"] == 40_960
    assert first["is"].startswith("The default recipe at the size of a test")
    assert (second["recipe"], second["model"]) == ("taco-laptop", "an imported base")


def test_every_shipped_recipe_is_listed_with_its_own_words() -> None:
    rows = recipes.listed(ROOT, Path("recipes"))
    assert len(rows) == 1 + len(list((ROOT / "recipes").glob("*.yaml")))
    assert all(row["is"] for row in rows)


def test_a_difference_names_the_key_and_both_values(checkout: Path) -> None:
    changed = checkout / "changed.yaml"
    text = TINY.read_text(encoding="utf-8")
    text = text.replace("vocab_size: 1500", "vocab_size: 1600").replace("  max_epochs: 4\n", "")
    text = text.replace("mix:\n", "mix:\n  max_epochs: 4\n  max_epochs_in_all: 8\n")
    changed.write_text(text, encoding="utf-8")
    assert recipes.difference(checkout / "params.yaml", changed) == [
        {"key": "vocab.vocab_size", "a": 1500, "b": 1600},
        {"key": "mix.max_epochs_in_all", "a": "(absent)", "b": 8},
    ]


def test_a_recipe_with_mistakes_is_not_used(checkout: Path) -> None:
    broken = checkout / "broken.yaml"
    broken.write_text("seed: -1\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="seed"):
        recipes.use(checkout, broken, replace=True)
    assert (checkout / "params.yaml").read_bytes() == TINY.read_bytes()


def test_changes_that_no_commit_has_are_not_replaced_unasked(checkout: Path) -> None:
    other = checkout / "recipes/taco-laptop.yaml"
    with pytest.raises(MachineError, match="--replace"):
        recipes.use(checkout, other, replace=False)  # no git here: nobody has a copy
    git(checkout, "init", "-q")
    git(checkout, "add", "-A")
    git(checkout, "commit", "-qm", "recipe")
    assert "next: polylm doctor" in recipes.use(checkout, other, replace=False)
    assert (checkout / "params.yaml").read_bytes() == other.read_bytes()
    with pytest.raises(MachineError, match="--replace"):
        recipes.use(checkout, TINY, replace=False)
    recipes.use(checkout, TINY, replace=True)
    assert (checkout / "params.yaml").read_bytes() == TINY.read_bytes()


def test_a_recipe_that_was_put_in_use_and_not_changed_gives_way_unasked(checkout: Path) -> None:
    taco, other = checkout / "recipes/taco-laptop.yaml", checkout / "recipes/other.yaml"
    shutil.copyfile(TINY, other)
    recipes.use(checkout, taco, replace=True)
    recipes.use(checkout, other, replace=False)
    assert (checkout / "params.yaml").read_bytes() == TINY.read_bytes()
    with (checkout / "params.yaml").open("a", encoding="utf-8") as file:
        file.write("# mine\n")
    with pytest.raises(MachineError, match="--replace"):
        recipes.use(checkout, taco, replace=False)
