"""`polylm init` with two text files in a language beyond PolyLM's 18, then `make run` there."""

from __future__ import annotations

import json
import lzma
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clone import ROOT, Clone, make_clone

pytestmark = [pytest.mark.timeout(1800), pytest.mark.slow]
SMALLER = {
    "num_layers: 3": "num_layers: 1",
    "hidden_size: 192": "hidden_size: 32",
    "num_heads: 3": "num_heads: 2",
    "max_generated_tokens: 1000": "max_generated_tokens: 100",
    "    rounds: 2": "    rounds: 1",
    "    max_new_tokens: 96\n    max_demonstration_bytes": "    max_new_tokens: 24\n"
    "    max_demonstration_bytes",
    "bootstrap_samples: 1000": "bootstrap_samples: 100",
    "max_bytes_per_language: 12000": "max_bytes_per_language: 3000",
    "min_bytes: 2000": "min_bytes: 500",
}
"""What `tests/recipes/tiny.yaml` makes small: the model, the teacher's text and what is scored."""


def words_of(language: str) -> list[str]:
    """The words of the Universal Declaration of Human Rights in a language."""
    file = ROOT / f"data/00_sources/udhr/{language}.txt.xz"
    return sorted(set(lzma.decompress(file.read_bytes()).decode().split()))


def write_text(file: Path, language: str, seed: int) -> None:
    """Sentences of these words: what there is of so small a language to ship with a test."""
    drawn, words = random.Random(seed), words_of(language)
    lines = [" ".join(drawn.choices(words, k=14)) + "." for _ in range(400)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_two_text_files_become_a_model_and_a_report(tmp_path: Path) -> None:
    checkout = make_clone(tmp_path.resolve() / "polylm")
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for words in (("add", "-A"), (*identity, "commit", "-qm", "PolyLM")):
        assert checkout.run("git", *words)[0] == 0
    (checkout.path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    assert checkout.run("git", *identity, "commit", "-aqm", "The default recipe")[0] == 0
    for number in (1, 2):
        write_text(tmp_path / f"{number}.txt", "ace_Latn", number)
    command = [sys.executable, "-m", "polylm_core.cli.main", "init", "../my-lm"]
    command += ["--text", "ace_Latn=../1.txt", "--text", "ace_Latn=../2.txt"]
    status, told = checkout.run(*command, "--license", "CC0-1.0")
    assert status == 0, told
    project = replace(checkout, path=checkout.path.parent / "my-lm")
    _made_small(project)
    try:
        status, told = project.run("make", "run")
        assert status == 0, told[-4000:]
    finally:
        project.stop()
    assert "data/10_report/report.html" in told
    chat = json.loads((project.path / "data/08_chat/parity.json").read_text(encoding="utf-8"))
    assert [row["language"] for row in chat["languages"]] == ["eng_Latn", "ace_Latn"]
    report = (project.path / "data/10_report/report.html").read_text(encoding="utf-8")
    assert "Acehnese" in report
    assert "own-ace_Latn" in report
    assert "CC0-1.0" in report


def _made_small(project: Clone) -> None:
    for old, new in SMALLER.items():
        project.edit_params(old, new)
    environment = project.path / ".venv"
    if not environment.exists():  # one that `make install` did not make is not linked by init
        environment.symlink_to(sys.prefix)
    home = project.path / ".prefect"
    project.environment.update(
        PREFECT_HOME=str(home), DVC_SITE_CACHE_DIR=str(project.path / ".dvc-site")
    )
