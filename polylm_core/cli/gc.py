"""`polylm gc`: old work folders in `runs/` and what DVC's cache has that nothing uses.

A work folder is old when it is neither that of the artifact in `data/` nor that of what the stage
would do now, which a stage that was killed goes on from. `runs/kept` (what was paid for), a stage
that is running and everything of another name stay.

Copies of what an object store has (`runs/payloads`, and the views of links to them) are old when
no artifact in `data/` has them: whoever needs one again fetches it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polylm_core.artifacts import MANIFEST
from polylm_core.errors import ArtifactError, LockedError, MachineError, PolyLMError
from polylm_core.params import Params, load_params
from polylm_core.pipeline import RUNS, SOURCES, STAGES, Stage, identity, sources_fingerprint
from polylm_core.settings import load_profile
from polylm_core.storage import exclusive_lock

WORK = re.compile(r"(?P<stage>[a-z]+)-[0-9a-f]{16}")
REMOVING = re.compile(r"^Removing (?P<path>/.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Folder:
    """A work folder, and what becomes of it."""

    path: Path
    bytes: int
    reason: str
    """Why it stays; empty for one that is old."""


def collected(root: Path, *, remove: bool) -> dict[str, Any]:
    """Find what is old and unused; remove it when told so. Return what is to be told.

    Raises MachineError when `dvc gc` cannot say or do its part.
    """
    held = [stage for stage in STAGES if _is_held(root, stage)]
    folders = list(_folders(root, held))
    old = [folder for folder in folders if not folder.reason]
    copies: list[Path] = []
    if held:
        cache, cache_bytes = "not looked at: a stage is running", None
    else:
        cache, cache_bytes = _unused_cache(root)
        copies = _unused_copies(root)
    copied = sum(_bytes(copy) for copy in copies)
    freed = sum(folder.bytes for folder in old) + (cache_bytes or 0) + copied
    if remove:
        for path in [*(folder.path for folder in old), *copies]:
            _remove(path)
        if cache_bytes:
            _dvc_gc(root, "--force")
    return {
        "work folders": [
            {
                "folder": str(folder.path.relative_to(root)),
                "bytes": folder.bytes,
                "is": folder.reason or ("removed" if remove else "old"),
            }
            for folder in folders
        ],
        "DVC cache": {"unused": cache, "unused_bytes": cache_bytes},
        "copies of the object store": {"unused": len(copies), "unused_bytes": copied},
        "freed_bytes" if remove else "to_free_bytes": freed,
    }


def _folders(root: Path, held: list[str]) -> Iterator[Folder]:
    recipe = _recipe(root)
    for path in sorted((root / RUNS).glob("*-*")):
        named = WORK.fullmatch(path.name)
        if named is None or named["stage"] not in STAGES or not path.is_dir() or path.is_symlink():
            continue
        stage = STAGES[named["stage"]]
        if stage.name in held:
            reason = "running"
        elif _made(root, stage, path):
            reason = f"made {stage.out}"
        else:
            reason = _wanted(root, stage, recipe, path)
        yield Folder(path, _bytes(path), reason)


def _recipe(root: Path) -> Params | None:
    try:
        return load_params(root / "params.yaml")
    except PolyLMError:
        return None


def _made(root: Path, stage: Stage, work: Path) -> bool:
    """Whether the artifact in `data/` was made in this folder."""
    record = _json(work / "provenance.json")
    try:
        made = stage.artifact.open(root / stage.out).fingerprint
    except ArtifactError:
        return False
    return isinstance(record, dict) and record.get("fingerprint") == made


def _wanted(root: Path, stage: Stage, recipe: Params | None, work: Path) -> str:
    """Why a stage that runs now would work in this folder; empty when it would not.

    Where recipe or inputs cannot be told, the folder stays.
    """
    if recipe is None:
        return "params.yaml has mistakes: what is old cannot be told"
    inputs = {}
    for name in stage.inputs:
        manifest = root / STAGES[name].out / MANIFEST
        if not manifest.is_file():
            return f"{STAGES[name].out} is not made: what is old cannot be told"
        try:
            inputs[name] = STAGES[name].artifact.open(root / STAGES[name].out)
        except PolyLMError as error:
            return f"what is old cannot be told: {error}"
    sources = None
    if stage.reads_sources:
        try:
            locations = load_profile(root / "infra/profiles").source_locations
            sources = sources_fingerprint(root / SOURCES, recipe, locations)
        except PolyLMError as error:
            return f"what is old cannot be told: {error}"
    now = stage.work(identity(stage, recipe, inputs, sources))
    return f"{stage.name} goes on here" if work.name == now.name else ""


def _unused_copies(root: Path) -> list[Path]:
    """Copies and views of large files that belong to no artifact in `data/`."""
    used, views = set(), set()
    for stage in STAGES.values():
        try:
            made = stage.artifact.open(root / stage.out)
        except ArtifactError:
            continue
        used |= {entry.sha256 for entry in made.manifest.files.values()}
        views.add(made.fingerprint[:16])
    payloads = (root / RUNS / "payloads").glob("??/*")
    return [copy for copy in sorted(payloads) if copy.name not in used] + [
        view for view in sorted((root / RUNS / "views").glob("*")) if view.name not in views
    ]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _is_held(root: Path, stage: str) -> bool:
    """Whether a living process builds the stage's artifact."""
    lock = root / RUNS / f"{stage}.lock"
    if not lock.exists():
        return False
    pid = lock.read_text(encoding="utf-8", errors="replace")
    try:
        with exclusive_lock(lock, what=stage, wait_seconds=0):
            lock.write_text(pid, encoding="utf-8")
            return False
    except LockedError:
        return True


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _unused_cache(root: Path) -> tuple[str, int | None]:
    """Objects that neither the workspace, a branch nor a tag uses, and their bytes."""
    listed = [Path(found["path"]) for found in REMOVING.finditer(_dvc_gc(root, "--dry"))]
    return f"{len(listed):,} objects", sum(path.stat().st_size for path in listed)


def _dvc_gc(root: Path, how: str) -> str:
    """Run `dvc gc`; return what it printed. Raises MachineError with its words."""
    # Every commit would be the safer rule, and takes a minute for a few hundred of them.
    used = ["--workspace", "--all-branches", "--all-tags"]
    command = [sys.executable, "-m", "dvc", "gc", *used, how]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MachineError(f"dvc gc failed: {done.stderr.strip()}")
    return done.stdout + done.stderr
