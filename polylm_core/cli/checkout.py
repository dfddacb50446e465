"""Where a command finds the recipe and the profiles of the checkout that it is run in.

Imports nothing that costs time: every command has this at its top.
"""

from __future__ import annotations

from pathlib import Path

from polylm_core.errors import MachineError

PARAMS = Path("params.yaml")
RECIPES = Path("recipes")
PROFILES = Path("infra/profiles")


def checkout() -> Path:
    """Return the root of the checkout; raises MachineError outside of one."""
    root = Path()
    if not (root / PARAMS).is_file():
        raise MachineError(
            f"no {PARAMS} in {Path.cwd()}: run polylm in the root of a PolyLM checkout"
        )
    return root


def recipe_file(name: str) -> Path:
    """Return the file of a recipe that is named by its file, or by its name in `recipes/`.

    Whether the file can be read is for the loader to say, with all else that is wrong. Raises
    MachineError for a name that is none.
    """
    path = _file(name, RECIPES)
    if not path.suffix and not path.exists():
        known = ", ".join(_names(RECIPES))
        raise MachineError(
            f"no recipe {name}; name one of {RECIPES} ({known}), or a file (`polylm recipes list`)"
        )
    return path


def profile_file(name: str, profiles: Path = PROFILES) -> Path:
    """Return the file of a profile named by its file, or by its name; raises MachineError."""
    path = _file(name, profiles)
    if not path.is_file() or path.suffix != ".yaml":
        known = ", ".join(_names(profiles))
        raise MachineError(
            f"no profile {name}; name one of {profiles} ({known}), or a file that ends in .yaml"
        )
    return path


def complete_recipe(incomplete: str) -> list[str]:
    """Return the recipes of the checkout that a shell may complete this to."""
    files = [PARAMS, *sorted(RECIPES.glob("*.yaml"))]
    return [f"{file}" for file in files if f"{file}".startswith(incomplete)]


def complete_profile(incomplete: str) -> list[str]:
    """Return the profiles of the checkout that a shell may complete this to."""
    return [name for name in _names(PROFILES) if name.startswith(incomplete)]


def complete_stage(incomplete: str) -> list[str]:
    """Return the stages that a shell may complete this to, from the lines of dvc.yaml."""
    graph = Path("dvc.yaml")
    lines = graph.read_text(encoding="utf-8").splitlines() if graph.is_file() else []
    names = [line.strip()[:-1] for line in lines if line.startswith("  ") and line[2:3].isalpha()]
    return [name for name in names if name.startswith(incomplete)]


def _file(name: str, folder: Path) -> Path:
    named = folder / f"{name}.yaml"
    return named if "/" not in name and not Path(name).exists() and named.is_file() else Path(name)


def _names(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.yaml"))
