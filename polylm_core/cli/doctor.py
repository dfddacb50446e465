"""`polylm doctor`: what keeps a run from starting or from ending, each with the mend."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from polylm_core.cli import machine, summary
from polylm_core.cli.checkout import PARAMS, PROFILES
from polylm_core.errors import PolyLMError
from polylm_core.params import load_params
from polylm_core.pipeline import SOURCES, check_sources, require_sources, sources_fingerprint
from polylm_core.settings import load_profile
from polylm_core.stages.pretrain.imported_config import (
    ImportedBaseConfig,
    ImportedFolder,
    unpinned_problem,
)
from polylm_core.teachers.places import require_place
from polylm_core.translators.places import require_translator

SHOWN_PACKAGES = ("torch", "deepspeed", "ray", "prefect", "fastapi", "dvc", "transformers")


def examined(root: Path) -> tuple[dict[str, Any], list[str]]:
    """Return what was looked at, and what is wrong."""
    problems = [problem for check in machine.BEFORE_RUN if (problem := check()) is not None]
    content = {
        "machine": {
            "python": sys.version.split()[0],
            "cores": os.cpu_count(),
            "prefect_ui": summary.prefect_ui(root),
        },
        "packages": {package: _version(package) for package in SHOWN_PACKAGES},
    }
    return content, [*problems, *_recipe_problems(root)]


def _recipe_problems(root: Path) -> list[str]:
    """What is wrong with recipe, profile and sources; the last can only be told with the others."""
    problems: list[str] = []

    def tried(load: Callable[[], Any]) -> Any:
        try:
            return load()
        except PolyLMError as error:
            problems.append(str(error))
        return None

    recipe = tried(lambda: load_params(root / PARAMS))
    profile = tried(lambda: load_profile(root / PROFILES))
    if recipe is None or profile is None:
        tried(lambda: require_sources(root / SOURCES))
    else:
        tried(lambda: check_sources(root / SOURCES, recipe, profile.source_locations))
        tried(lambda: sources_fingerprint(root / SOURCES, recipe, profile.source_locations))
        written = recipe.instruct.self_instruct
        if written is not None:
            tried(lambda: require_place(written.teacher, profile))
        translate = recipe.instruct.translate
        if translate is not None:
            tried(lambda: require_translator(translate.translator, profile))
        base = recipe.pretrain
        if isinstance(base, ImportedBaseConfig) and isinstance(base.imported, ImportedFolder):
            unpinned = unpinned_problem(base.imported)
            problems += [] if unpinned is None else [f"pretrain.imported.sha256: {unpinned}"]
    return problems


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "is not installed: make install"
