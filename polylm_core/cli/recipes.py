"""`polylm recipes`: the recipes there are, what each says, and how two differ."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from polylm_core.errors import MachineError, ParamsError, Problem
from polylm_core.params import load_params
from polylm_core.stages.pretrain.imported_config import ImportedBaseConfig
from polylm_core.yaml_files import read_yaml

ABSENT = "(absent)"


def listed(root: Path, folder: Path) -> list[dict[str, Any]]:
    """Return one row a recipe: the one in use first, then those of `folder` by name."""
    return [_row("params.yaml", root / "params.yaml")] + [
        _row(file.stem, file) for file in sorted((root / folder).glob("*.yaml"))
    ]


def _row(name: str, file: Path) -> dict[str, Any]:
    params = load_params(file)
    base = params.pretrain
    if isinstance(base, ImportedBaseConfig):
        trained = "an imported base"
    else:
        model = base.model
        trained = f"{model.num_layers} layers of {model.hidden_size:,}"
    tokens = sum(params.mix.tokens_of(stage) for stage in params.mix.stages)
    return {
        "recipe": name,
        "languages": len(params.languages),
        "model": trained,
        "pretraining_tokens": 0 if isinstance(base, ImportedBaseConfig) else tokens,
        "phases": ", ".join(phase.name for phase in params.finetune.phases),
        "is": _head(file),
    }


def _head(file: Path) -> str:
    """The first sentence of a recipe's own words about itself."""
    words = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words.append(line.removeprefix("#").strip())
    sentence, mark, _ = " ".join(words).partition(". ")
    return sentence + mark.strip()


def text(file: Path) -> str:
    """Return a recipe as it is written; raises ParamsError for one that cannot be used."""
    load_params(file)
    return file.read_text(encoding="utf-8")


def difference(a: Path, b: Path) -> list[dict[str, Any]]:
    """Return one row for each value that two recipes do not share: dotted key, the value of each.

    Lists are compared whole. What both leave to its default is no difference, and what one spells
    out is one. Raises ParamsError for recipes with mistakes.
    """
    load_params(a)
    load_params(b)
    left, right = _flat(read_yaml(a)), _flat(read_yaml(b))
    return [
        {"key": key, "a": left.get(key, ABSENT), "b": right.get(key, ABSENT)}
        for key in dict.fromkeys((*left, *right))
        if left.get(key, ABSENT) != right.get(key, ABSENT)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def use(root: Path, recipe: Path, *, replace: bool) -> str:
    """Put a recipe in the place of `params.yaml`; return what is to be told.

    Raises ParamsError for a recipe with mistakes, MachineError where `params.yaml` has changes
    that stand in no commit, nor in a recipe beside the new one, and `replace` does not say that
    they may go.
    """
    load_params(recipe)
    target = root / "params.yaml"
    if target.exists() and recipe.resolve() == target.resolve():
        raise ParamsError(str(recipe), [Problem("recipe", "is the one in use already")])
    if not replace and _is_changed(target) and not _is_copy(target, recipe.parent):
        raise MachineError(
            f"{target} has changes that are in no commit and would be lost: commit them, or say "
            "--replace"
        )
    shutil.copyfile(recipe, target)
    return f"{target} is {recipe} now; next: polylm doctor, then make run"


def _is_copy(file: Path, folder: Path) -> bool:
    """Whether a file has the content of a recipe in a folder, so that nothing of it is lost."""
    content = file.read_bytes()
    others = [other for other in folder.glob("*.yaml") if not other.samefile(file)]
    return any(content == other.read_bytes() for other in others)


def _is_changed(file: Path) -> bool:
    """Whether a file has content that git does not know; without git, whether there is one."""
    if not file.exists():
        return False
    done = subprocess.run(
        ["git", "status", "--porcelain", "--", file.name],
        cwd=file.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode != 0 or bool(done.stdout.strip())
