from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import yaml

from tests.architecture.closure import ROOT

PROGRAM = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from polylm_core.cli.main import main"


def polylm(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"{PROGRAM}; main()", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_outside_a_checkout_one_line_says_so(tmp_path: Path) -> None:
    done = polylm("summary", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no params.yaml in ")
    assert len(done.stderr.splitlines()) == 1


def test_the_summary_of_the_checkout_costs_under_three_seconds() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = polylm("summary", folder=ROOT)
    assert done.returncode == 0, done.stderr
    assert "prefect ui" in done.stdout
    # Of a processor: 0.6 when nothing else runs.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 3


def test_the_doctor_lists_every_mistake_of_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "infra/profiles").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text("seed: -1\nlanguages: [xyz_Latn]\n", encoding="utf-8")
    done = polylm("doctor", folder=tmp_path)
    assert done.returncode == 1
    assert "seed: Input should be greater than or equal to 0 (got -1)" in done.stderr
    assert "unknown language 'xyz_Latn'" in done.stderr
    assert "no profile 'laptop'" in done.stderr
    assert "data/00_sources holds no source" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_misses_the_endpoint_of_the_recipe_s_teacher(tmp_path: Path) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra/profiles").symlink_to(ROOT / "infra/profiles")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["instruct"]["self_instruct"]["teacher"] = {
        "kind": "openai",
        "endpoint": "hosted",
        "model": "tiny-chat",
        "form": "chat",
        "budget": {"max_tokens": 1000},
        "license": "CC0-1.0",
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    done = polylm("doctor", folder=tmp_path)
    assert done.returncode == 1
    assert "does not say where the teacher 'hosted' answers (known: none)" in done.stderr
