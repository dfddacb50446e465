"""A deployed run's recipe and revision take nothing away that is in no commit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from flows._checkout import nobody_at_work, require_valid, take_recipe, take_revision
from polylm_core.errors import LockedError, StageError
from polylm_core.storage import exclusive_lock

OF_ANOTHER_REVISION = {
    "__init__": "",
    "errors": "class PolyLMError(Exception): pass",
    "params": (
        "from polylm_core.errors import PolyLMError\n"
        "def load_params(path):\n"
        "    if 'added: 1' not in path.read_text(): raise PolyLMError('added: is missing')\n"
    ),
    "settings": "def load_profile(folder, name): assert (str(folder), name) == PROFILE\n"
    "PROFILE = ('infra/profiles', 'laptop')",
}
"""Code that knows a parameter which this one does not."""
ROOT = Path(__file__).parents[3]
TINY = ROOT / "tests/recipes/tiny.yaml"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of a repository with two commits; the branch `next` is ahead."""
    origin = tmp_path / "origin"
    (origin / "recipes").mkdir(parents=True)
    git(tmp_path, "init", "-q", "-b", "main", "origin")
    shutil.copyfile(TINY, origin / "params.yaml")
    for name, seed in (("a", 8), ("b", 9)):
        text = TINY.read_text().replace("seed: 7", f"seed: {seed}")
        (origin / f"recipes/{name}.yaml").write_text(text)
    (origin / "dvc.lock").write_text("of the commit\n")
    (origin / "code.py").write_text("one\n")
    git(origin, "add", ".")
    git(origin, "commit", "-q", "-m", "one")
    git(tmp_path, "clone", "-q", "origin", "clone")
    git(origin, "checkout", "-q", "-b", "next")
    (origin / "code.py").write_text("two\n")
    git(origin, "commit", "-q", "-a", "-m", "two")
    return tmp_path / "clone"


def silent(message: str) -> None:
    """Tell nobody."""


def seed_of(checkout: Path) -> str:
    return (checkout / "params.yaml").read_text().split("seed: ")[1][0]


def test_a_branch_of_origin_is_fetched_and_checked_out(checkout: Path) -> None:
    told: list[str] = []
    (checkout / "dvc.lock").write_text("of a run\n")
    take_recipe(checkout, "a", told.append)
    take_revision(checkout, "next", told.append)
    assert (checkout / "code.py").read_text() == "two\n"
    assert (checkout / "dvc.lock").read_text() == "of the commit\n"
    assert any("run cache" in line for line in told)


def test_a_revision_that_is_checked_out_changes_nothing(checkout: Path) -> None:
    (checkout / "code.py").write_text("not committed\n")
    take_revision(checkout, git(checkout, "rev-parse", "HEAD"), silent)
    assert (checkout / "code.py").read_text() == "not committed\n"


@pytest.mark.parametrize("name", ["code.py", "params.yaml"])
def test_what_is_in_no_commit_is_named_and_stays(checkout: Path, name: str) -> None:
    changed = (checkout / name).read_text() + "# mine\n"
    (checkout / name).write_text(changed)
    with pytest.raises(StageError, match=rf"would be lost: {name}"):
        take_revision(checkout, "next", silent)
    assert (checkout / name).read_text() == changed


@pytest.mark.parametrize("revision", ["nowhere", "--upload-pack=touch /tmp/x", "HEAD~9"])
def test_what_is_no_revision_is_told(checkout: Path, revision: str) -> None:
    with pytest.raises(StageError, match="no revision"):
        take_revision(checkout, revision, silent)


def test_one_recipe_follows_another_and_an_own_one_stays(checkout: Path) -> None:
    for name, seed in (("a", "8"), ("b", "9"), ("recipes/a.yaml", "8")):
        take_recipe(checkout, name, silent)
        assert seed_of(checkout) == seed
    mine = TINY.read_text().replace("seed: 7", "seed: 5")
    (checkout / "params.yaml").write_text(mine)
    with pytest.raises(StageError, match=r"params\.yaml has changes that are in no commit"):
        take_recipe(checkout, "b", silent)
    assert seed_of(checkout) == "5"


def test_a_recipe_with_mistakes_or_none_is_not_taken(checkout: Path) -> None:
    (checkout / "recipes/c.yaml").write_text("seed: often\n")
    with pytest.raises(StageError, match="seed"):
        take_recipe(checkout, "c", silent)
    with pytest.raises(StageError, match=r"no recipe 'd'.*a, b, c"):
        take_recipe(checkout, "d", silent)
    assert seed_of(checkout) == "7"


def test_a_revision_is_judged_by_its_own_code(checkout: Path) -> None:
    origin = checkout.parent / "origin"
    (origin / "polylm_core").mkdir()
    for name, text in OF_ANOTHER_REVISION.items():
        (origin / f"polylm_core/{name}.py").write_text(text)
    for name, text in (("added", "added: 1\n"), ("lacking", "seed: 7\n")):
        (origin / f"recipes/{name}.yaml").write_text(text)
    git(origin, "add", ".")
    git(origin, "commit", "-q", "-m", "three")
    take_revision(checkout, "next", silent)
    take_recipe(checkout, "added", silent)
    require_valid(checkout, checkout / "params.yaml", "laptop")
    with pytest.raises(StageError, match="added: is missing"):
        take_recipe(checkout, "lacking", silent)
    with pytest.raises(StageError, match="AssertionError"):
        require_valid(checkout, checkout / "params.yaml", None)


def test_a_profile_that_is_not_there_is_told(checkout: Path) -> None:
    with pytest.raises(StageError, match="no profile 'nowhere'"):
        require_valid(checkout, checkout / "params.yaml", "nowhere")


@pytest.mark.parametrize("lock", ["runs/mix.lock", ".dvc/tmp/lock"])
def test_a_checkout_at_work_is_left_alone(checkout: Path, lock: str) -> None:
    (checkout / ".dvc").mkdir()
    with nobody_at_work(checkout):
        pass
    with (
        exclusive_lock(checkout / lock, what="test", wait_seconds=0),
        pytest.raises(LockedError, match=rf"process {os.getpid()} .*{lock}"),
        nobody_at_work(checkout),
    ):
        pass


@pytest.mark.parametrize("kind", ["write", "read"])
def test_a_dvc_between_its_locks_is_found_in_its_book(checkout: Path, kind: str) -> None:
    book = checkout / ".dvc/tmp/rwlock"
    book.parent.mkdir(parents=True)
    for pid in (2**22 + 1, os.getpid()):
        holder = {"pid": pid, "cmd": "dvc repro"}
        book.write_text(json.dumps({kind: {"data": holder if kind == "write" else [holder]}}))
        if pid != os.getpid():
            with nobody_at_work(checkout):
                continue
        with pytest.raises(LockedError, match=f"DVC, process {pid}"), nobody_at_work(checkout):
            pass
