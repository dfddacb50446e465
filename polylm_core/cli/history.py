"""Since which commit a file, or a value in a YAML file, is what it is now: asked of git."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

MAX_COMMITS = 300
"""Further back nobody looks; what is older is told as such."""
UNCOMMITTED = "not committed"


def since(root: Path, path: str, was: Callable[[bytes], bool]) -> str:
    """Return the commit with which a file ceased to be what it `was`: hash, date and subject.

    Looked for from now backwards; a change that is in no commit is told so.
    """
    newer = UNCOMMITTED
    for commit, content in _contents(root, path):
        if was(content):
            return newer
        newer = commit
    return newer if newer == UNCOMMITTED else f"{newer}, or before"


def since_md5(root: Path, path: str, md5: str) -> str:
    """Return since when a file is not the one with this checksum."""
    return since(root, path, lambda content: _md5(content) == md5)


def since_value(root: Path, path: str, keys: tuple[str, ...], old: Any) -> str:
    """Return since when a YAML file has another value than `old` under these keys."""

    def was(content: bytes) -> bool:
        try:
            return bool(value_of(read(content), keys) == old)
        except YAMLError:  # a version that nobody could run
            return False

    return since(root, path, was)


def read(content: bytes) -> Any:
    """Read YAML as DVC does (1.2): in `dvc.lock` a small float is `6e-05`, in 1.1 a text."""
    return YAML(typ="safe").load(content)


def value_of(content: Any, keys: tuple[str, ...]) -> Any:
    """Return what lies under keys in a mapping, and none where there is nothing."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def changed_files(root: Path, folder: str, since_commit: str) -> list[str]:
    """Return the files of a folder in git that differ from a commit's, new ones too."""
    found = _git(root, "diff", "--name-only", since_commit, "--", folder).splitlines()
    new = _git(root, "ls-files", "--others", "--exclude-standard", "--", folder)
    return [*found, *new.splitlines()]


def last_commit(root: Path, path: str) -> str | None:
    """Return the hash of the commit that changed a file last; none where git does not have it."""
    return _git(root, "log", "-1", "--format=%H", "--", path).strip() or None


def described(root: Path, commit: str) -> str:
    """Return a commit's short hash, date and subject."""
    return _git(root, "show", "-s", "--format=%h %as %s", commit).strip()


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _versions(root: Path, path: str) -> list[str]:
    return _git(root, "log", f"-{MAX_COMMITS}", "--format=%H", "--", path).split()


def _contents(root: Path, path: str) -> Iterator[tuple[str, bytes]]:
    for commit in _versions(root, path):
        done = subprocess.run(
            ["git", "show", f"{commit}:./{path}"], cwd=root, capture_output=True, check=False
        )
        if done.returncode == 0:  # else it deleted the file
            yield described(root, commit), done.stdout


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else ""
