"""The recipe and the revision that a deployed run asks for, put in place in the worker's checkout.

Nothing that is in no commit is overwritten: a changed file is a StageError that names it. Only
`dvc.lock` goes, because a run has written it; the stages it tells of are in DVC's run cache.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from polylm_core.errors import InfrastructureError, StageError
from polylm_core.params import load_params

RECIPES = Path("recipes")
PARAMS = "params.yaml"
LOCK = "dvc.lock"


def take_revision(root: Path, revision: str, tell: Callable[[str], None]) -> None:
    """Check a revision (a branch of `origin`, a tag or a commit) out, detached.

    Raises StageError for one that there is not and for changes that would be lost,
    InfrastructureError when `origin` does not answer.
    """
    commit = _commit_of(root, revision)
    if commit == _git(root, "rev-parse", "HEAD"):
        return
    changed = _git(root, "diff", "--name-only", "HEAD").splitlines()
    kept = [name for name in changed if name not in (LOCK, PARAMS) or not (root / name).is_file()]
    if kept or not _is_a_recipe(root):
        raise StageError(
            f"{root.absolute()} has changes that are in no commit and would be lost: "
            f"{', '.join(kept) or PARAMS}; commit them, or run a revision in a checkout of its own"
        )
    if LOCK in changed:
        tell(f"{LOCK} goes back to the commit's; finished stages come from DVC's run cache")
    _git(root, "checkout", "--quiet", "HEAD", "--", *changed)
    _git(root, "checkout", "--quiet", "--detach", commit)
    tell(f"checked out {revision}: {commit}")


def take_recipe(root: Path, recipe: str, tell: Callable[[str], None]) -> None:
    """Put a recipe (a file, or its name in `recipes/`) in the place of `params.yaml`.

    Raises ParamsError for one with mistakes, StageError where `params.yaml` would be lost.
    """
    named = root / RECIPES / f"{recipe}.yaml"
    file, target = named if named.is_file() else root / recipe, root / PARAMS
    if not file.is_file():
        known = ", ".join(sorted(found.stem for found in (root / RECIPES).glob("*.yaml")))
        raise StageError(f"no recipe {recipe!r}; name a file, or one of recipes/: {known}")
    load_params(file)
    if target.is_file() and file.read_bytes() == target.read_bytes():
        return
    if not _is_a_recipe(root):
        raise StageError(
            f"{target} has changes that are in no commit and would be lost; commit them, or keep "
            "them as a file of recipes/"
        )
    shutil.copyfile(file, target)
    tell(f"{PARAMS} is {file.relative_to(root)}")


def _is_a_recipe(root: Path) -> bool:
    """Whether `params.yaml` stands elsewhere too: in the commit, or as a file of recipes/."""
    target = root / PARAMS
    if not target.is_file() or not _git(root, "diff", "--name-only", "HEAD", "--", PARAMS):
        return True
    content = target.read_bytes()
    return any(file.read_bytes() == content for file in (root / RECIPES).glob("*.yaml"))


def _commit_of(root: Path, revision: str) -> str:
    if revision.startswith("-"):
        raise StageError(f"{revision!r} is no revision: name a branch, a tag or a commit")
    if _git(root, "remote"):
        done = _run(root, "fetch", "--quiet", "--tags", "origin")
        if done.returncode != 0:
            raise InfrastructureError(f"git cannot fetch from origin: {done.stderr.strip()}")
    for name in (f"origin/{revision}", revision):
        done = _run(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if done.returncode == 0:
            return done.stdout.strip()
    raise StageError(f"no revision {revision!r} in {root.absolute()}; push it, or correct its name")


def _git(root: Path, *arguments: str) -> str:
    done = _run(root, *arguments)
    if done.returncode != 0:
        raise StageError(f"git {arguments[0]} failed: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
