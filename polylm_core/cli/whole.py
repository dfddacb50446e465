"""Where a command finds every file of an artifact, also of one whose large files are in a store."""

from __future__ import annotations

from pathlib import Path

from polylm_core.artifacts import MANIFEST
from polylm_core.pipeline import RUNS, STAGES
from polylm_core.settings import load_profile


def whole(root: Path, path: Path) -> Path:
    """Return `path`, or where an artifact of the checkout `root` lies with the files it lacks.

    A folder that is no artifact is returned as it is. Raises ArtifactError for one that is not as
    it was made, or whose files are nowhere.
    """
    kind = {stage.folder: stage.artifact for stage in STAGES.values()}.get(path.name)
    if kind is None or not (path / MANIFEST).is_file():
        return path
    if all((path / name).exists() for name in kind.open(path).manifest.files):
        return path
    from polylm_core.payloads import Payloads

    storage = load_profile(root / "infra/profiles").storage
    return Payloads(storage, root / RUNS).load(kind, path).path
