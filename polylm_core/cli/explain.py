"""`polylm explain`: why a stage would run again, by DVC's own answer, `dvc.lock` and git.

Whether a stage is stale is DVC's to say (`dvc status`); here its answer is looked up: which value
the lock has and which there is now, since which commit, and which stage before it is the cause.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from polylm_core.cli import history
from polylm_core.errors import MachineError, ParamsError, Problem

LOCK = "dvc.lock"
MAX_FILES = 10
"""Of a changed folder that are named."""
Row = dict[str, Any]


def answer(root: Path, stage: str) -> Row:
    """Return why a stage, and the stages before it, would run again.

    Raises ParamsError for a stage that dvc.yaml does not have, MachineError where DVC fails.
    """
    stages = _read(root / "dvc.yaml").get("stages", {})
    if stage not in stages:
        known = ", ".join(stages) or "none: is this the root of a checkout?"
        problem = Problem("stages", f"has no such stage (known: {known})", stage)
        raise ParamsError("dvc.yaml", [problem])
    lock = _read(root / LOCK).get("stages", {})
    told = _dvc_status(root, stage)
    makers = {out: name for name, entry in stages.items() for out in _outs(entry)}
    order = [name for name in stages if name in told]
    rows = [row for name in order for row in _reasons(root, name, told, stages, lock, makers)]
    upstream = {row["stage"] for row in rows} - {stage}
    rows += _inherited(stages, makers, upstream, stage, {row["stage"] for row in rows})
    own = [row for row in rows if row["stage"] == stage]
    return {
        "stage": stage,
        "runs_again": bool(rows),
        "because": own,
        "because_of_stages_before": [row for row in rows if row["stage"] != stage],
        "remark": None if rows else "nothing changed since it ran: dvc repro would not run it",
    }


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return history.read(path.read_bytes()) or {}


def _dvc_status(root: Path, stage: str) -> dict[str, list[Any]]:
    """What DVC says of a stage and all before it: changes by stage, in DVC's words."""
    command = [sys.executable, "-m", "dvc", "status", "--json", "--with-deps", stage]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        said = " ".join(done.stderr.split()) or "nothing"
        raise MachineError(f"`dvc status {stage}` said: {said}; mend that and ask again") from error
    return {name.rpartition(":")[2]: changes for name, changes in found.items()}


def _outs(entry: Mapping[str, Any]) -> list[str]:
    outs = entry.get("outs", [])
    return [out if isinstance(out, str) else next(iter(out)) for out in outs]


def _reasons(
    root: Path,
    name: str,
    told: Mapping[str, list[Any]],
    stages: Mapping[str, Any],
    lock: Mapping[str, Any],
    makers: Mapping[str, str],
) -> Iterator[Row]:
    """Yield a row for each change of one stage."""
    locked = lock.get(name)
    if locked is None:
        yield _row(name, "never run", LOCK, None, None, "dvc.lock has no record of it")
        return
    for change in told[name]:
        if isinstance(change, str):
            yield _row(name, change, "cmd", locked.get("cmd"), stages[name].get("cmd"), None)
            continue
        for path, how in change.get("changed deps", {}).items():
            if isinstance(how, dict):
                yield from _parameters(root, name, path, how, locked)
            else:
                yield _dependency(root, name, path, how, locked, makers, lock)
        for path, how in change.get("changed outs", {}).items():
            yield _row(name, f"output {how}", path, _locked_md5(locked, "outs", path), None, None)


def _parameters(
    root: Path, name: str, file: str, how: Mapping[str, str], locked: Mapping[str, Any]
) -> Iterator[Row]:
    """Yield a row for each single value that differs, however deep."""
    recorded = locked.get("params", {}).get(file, {})
    content = _read(root / file)
    for key in how:
        top = tuple(key.split("."))
        old, new = recorded.get(key), history.value_of(content, top)
        for keys, before, after in _differences(top, old, new):
            since = history.since_value(root, file, keys, before)
            yield _row(name, "parameter", ".".join(keys), before, after, since)


def _differences(
    keys: tuple[str, ...], old: Any, new: Any
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield the deepest keys whose values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            if old.get(key) != new.get(key):
                yield from _differences((*keys, str(key)), old.get(key), new.get(key))
        return
    yield keys, old, new


def _dependency(
    root: Path,
    name: str,
    path: str,
    how: str,
    locked: Mapping[str, Any],
    makers: Mapping[str, str],
    lock: Mapping[str, Any],
) -> Row:
    """The row of a file or folder that is not the one the stage has read."""
    old = _locked_md5(locked, "deps", path)
    if path in makers:
        maker = makers[path]
        made = _locked_md5(lock.get(maker, {}), "outs", path)
        since = f"{maker} made it anew" if made != old else "changed after it was made"
        if how == "deleted":
            made, since = None, f"it is not there; {maker} makes it"
        return _row(name, f"data {how}", path, old, made, since)
    if how == "deleted":
        return _row(name, "file deleted", path, old, None, None)
    if (root / path).is_dir():
        recorded = history.last_commit(root, LOCK)
        files = history.changed_files(root, path, recorded) if recorded else []
        shown = ", ".join(files[:MAX_FILES]) + (" ..." if len(files) > MAX_FILES else "")
        return _row(name, f"files {how}", path, old, None, shown or "not known to git")
    since = history.since_md5(root, path, old or "")
    return _row(name, f"file {how}", path, old, _md5(root / path), since)


def _inherited(
    stages: Mapping[str, Any],
    makers: Mapping[str, str],
    causes: set[str],
    stage: str,
    told: set[str],
) -> Iterator[Row]:
    """Yield a row for each stage that runs again only because one before it does."""
    again = set(told)
    for name, entry in stages.items():
        before = dict.fromkeys(makers[dep] for dep in entry.get("deps", []) if dep in makers)
        by = [maker for maker in before if maker in again]
        if by and (name == stage or name in causes or _leads_to(name, stage, stages, makers)):
            again.add(name)
            for maker in by:
                yield _row(
                    name, "stage before it", maker, None, None, f"because {maker} runs again"
                )


def _leads_to(name: str, stage: str, stages: Mapping[str, Any], makers: Mapping[str, str]) -> bool:
    """Whether a stage needs what another makes, directly or not."""
    before = [makers[dep] for dep in stages[stage].get("deps", []) if dep in makers]
    return name in before or any(_leads_to(name, each, stages, makers) for each in before)


def _locked_md5(locked: Mapping[str, Any], kind: str, path: str) -> str | None:
    return next((each.get("md5") for each in locked.get(kind, []) if each["path"] == path), None)


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _row(stage: str, why: str, what: str, old: Any, new: Any, since: str | None) -> Row:
    return {"stage": stage, "why": why, "what": what, "old": old, "new": new, "since": since}
