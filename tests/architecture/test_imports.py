"""Imports point from flows down to errors, and each library has one place that knows it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.closure import ROOT

PLANTED = [
    ("polylm_core/records.py", "import prefect", "The core knows no scheduler"),
    ("polylm_core/stages/mix/solve.py", "import dvc", "The core knows no scheduler"),
    ("polylm_core/compute/local.py", "import deepspeed", "DeepSpeed is known to training/ only"),
    ("polylm_core/training/loop.py", "import ray", "Ray is known to compute/ only"),
    ("flows/_stage.py", "import ray", "Ray is known to compute/ only"),
    (
        "polylm_core/stages/vocab/sample.py",
        "import sentencepiece",
        "SentencePiece is known to tokenizer.py only",
    ),
    (
        "polylm_core/stages/mix/stage.py",
        "import polylm_core.stages.encode.config",
        "Stages meet only in artifacts",
    ),
    (
        "polylm_core/errors.py",
        "import polylm_core.storage",
        "The core is layered; a module without a declared place is an error",
    ),
    (
        "polylm_core/helpers.py",
        "",
        "The core is layered; a module without a declared place is an error",
    ),
    (
        "polylm_core/storage.py",
        "import flows._server",
        "Flows and infra use the core, never the other way round",
    ),
    (
        "polylm_core/stages/ingest/config.py",
        "import torch",
        "Checking a recipe costs no heavy import",
    ),
]


def lint_imports(root: Path) -> tuple[int, str]:
    """Exit status and text of import-linter on the tree at `root`."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copied_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in ("polylm_core", "flows", "infra"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def test_every_contract_is_kept() -> None:
    status, text = lint_imports(ROOT)
    assert status == 0, text


@pytest.mark.parametrize(("file", "line", "contract"), PLANTED)
def test_a_planted_import_breaks_its_contract(
    copied_tree: Path, file: str, line: str, contract: str
) -> None:
    path = copied_tree / file
    before = path.read_text(encoding="utf-8") if path.exists() else None
    try:
        path.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
        status, text = lint_imports(copied_tree)
    finally:
        path.unlink() if before is None else path.write_text(before, encoding="utf-8")
    assert status != 0
    assert re.search(rf"{re.escape(contract)}\s+BROKEN", text), text
