"""Reading a recipe, a graph or a summary must not pay for the libraries that compute."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.closure import ROOT

HEAVY = (
    "torch",
    "ray",
    "prefect",
    "transformers",
    "deepspeed",
    "dvc",
    "pyarrow",
    "lm_eval",
    "numba",
)


def heavy_imports_of(statement: str) -> list[str]:
    """Heavy packages that are loaded after a statement, in an interpreter of its own."""
    program = f"{statement}\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    "module",
    [
        "polylm_core.params",
        "polylm_core.pipeline",
        "polylm_core.settings",
        "polylm_core.cli.main",
        "infra.preflight",
        "flows.stop",
        "flows.ui",
    ],
)
def test_a_light_module_stays_light(module: str) -> None:
    assert heavy_imports_of(f"import {module}") == []


def test_a_heavy_import_is_noticed() -> None:
    assert heavy_imports_of("import pyarrow") == ["pyarrow"]
