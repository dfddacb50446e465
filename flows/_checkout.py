"""The recipe and the revision that a deployed run asks for, put in place in the worker's checkout.

Nothing that is in no commit is overwritten: a changed file is a StageError that names it. Only
`dvc.lock` goes, because a run has written it; the stages it tells of are in DVC's run cache.
Nothing changes under a stage or a DVC that is at work, and what is then there is judged by the
code that is there: this process has that of before.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from flows._profile import PROFILES
from polylm_core.compute.process import start_time
from polylm_core.errors import InfrastructureError, LockedError, StageError
from polylm_core.pipeline import RUNS, STAGES
from polylm_core.storage import exclusive_lock

RECIPES = Path("recipes")
PARAMS = "params.yaml"
LOCK = "dvc.lock"
OF_DVC = Path(".dvc/tmp")
"""Where DVC has its lock, and `rwlock`: which process reads or writes which files."""
DVC_SECONDS = 3.0
"""How long DVC may hold its lock, also for a mere question; it waits as long for itself."""
CHECK = f"""
import sys
from pathlib import Path
from polylm_core.errors import PolyLMError
from polylm_core.params import load_params
from polylm_core.settings import load_profile
try:
    load_params(Path(sys.argv[1]))
    for name in sys.argv[2:]:
        load_profile(Path("{PROFILES}"), name or None)
except PolyLMError as error:
    sys.exit(str(error))
"""
"""Only what revisions of before and after have too."""


@contextmanager
def nobody_at_work(root: Path) -> Iterator[None]:
    """Hold the locks of all stages and of DVC in the block, in which the checkout may change.

    Raises LockedError when one is held.
    """
    with ExitStack() as held:
        for name, stage in STAGES.items():
            lock = root / RUNS / f"{name}.lock"
            held.enter_context(exclusive_lock(lock, what=str(stage.out), wait_seconds=0))
        if (root / OF_DVC.parent).is_dir():
            what = f"the pipeline of {root.absolute()}"
            lock = root / OF_DVC / "lock"
            held.enter_context(exclusive_lock(lock, what=what, wait_seconds=DVC_SECONDS))
            if pids := list(_at_work(root / OF_DVC / "rwlock")):
                raise LockedError(
                    f"{what} is being run by DVC, process {pids[0]} ({root / OF_DVC / 'rwlock'}); "
                    "wait for it to end, or end it, then run again"
                )
        yield


def _at_work(rwlock: Path) -> Iterator[int]:
    """Yield the living processes of DVC's book: it lets go of its lock while a stage runs."""
    try:
        book: dict[str, dict[str, Any]] = json.loads(rwlock.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # DVC itself says what is wrong with it
        return
    for each in [*book.get("write", {}).values(), *book.get("read", {}).values()]:
        for holder in each if isinstance(each, list) else [each]:
            if start_time(int(holder["pid"])) is not None:
                yield int(holder["pid"])


def require_valid(root: Path, params: Path, profile: str | None) -> None:
    """Check a recipe and a profile with the code of the checkout.

    Raises StageError with what it says of them.
    """
    _judge(root, params, profile or "")


def _judge(root: Path, params: Path, *profiles: str) -> None:
    path = os.pathsep.join(filter(None, [str(root.absolute()), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(params.absolute()), *profiles],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StageError(done.stderr.strip() or f"the check of {params} ended without a word")


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

    Raises StageError for one with mistakes, and where `params.yaml` would be lost.
    """
    named = root / RECIPES / f"{recipe}.yaml"
    file, target = named if named.is_file() else root / recipe, root / PARAMS
    if not file.is_file():
        known = ", ".join(sorted(found.stem for found in (root / RECIPES).glob("*.yaml")))
        raise StageError(f"no recipe {recipe!r}; name a file, or one of recipes/: {known}")
    _judge(root, file)
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
