"""One word per stage everywhere, and one graph: `dvc.yaml` says what the core says."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from polylm_core.pipeline import STAGES
from tests.architecture import closure
from tests.architecture.closure import BY_REVISION, ROOT

NO_STAGES = {"pipeline", "stop", "ui"}
"""Modules of flows/ that are no stage."""
NO_SECTIONS = {"seed", "languages"}
"""What params.yaml holds for all stages."""


def words(root: Path) -> dict[str, set[str]]:
    """The stages each place of the tree at `root` knows."""
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    dvc = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))
    flows = {path.stem for path in (root / "flows").glob("[!_]*.py")}
    tests = {path.stem.split("_")[1] for path in (root / "tests/unit/stages").glob("test_*.py")}
    stages = {path.parent.name for path in (root / "polylm_core/stages").glob("*/stage.py")}
    return {
        "params.yaml": set(params) - NO_SECTIONS,
        "dvc.yaml": set(dvc["stages"]),
        "flows": flows - NO_STAGES,
        "polylm_core/stages": stages,
        "tests/unit/stages": tests,
    }


def graph_problems(dvc: dict[str, Any]) -> list[str]:
    """Where `dvc.yaml` and `polylm_core.pipeline` differ."""
    problems = []
    for name, stage in STAGES.items():
        entry = dvc["stages"].get(name, {})
        wanted = {
            "cmd": f"python -m flows.{name}",
            "outs": [str(stage.out)],
            "params": sorted({*NO_SECTIONS, name}),
            "deps in data/": closure.data_of(stage),
        }
        seen = {
            "cmd": entry.get("cmd"),
            "outs": [out if isinstance(out, str) else next(iter(out)) for out in entry["outs"]],
            "params": sorted(entry["params"]),
            "deps in data/": sorted(dep for dep in entry["deps"] if dep.startswith("data/")),
        }
        problems += [
            f"{name}: {key} is {seen[key]}, expected {value}"
            for key, value in wanted.items()
            if seen[key] != value
        ]
    return problems


def code_problems(dvc: dict[str, Any]) -> list[str]:
    """Stages whose code in `deps` is not what they import, with what to paste instead."""
    problems = []
    for name in STAGES:
        seen = {dep for dep in dvc["stages"][name]["deps"] if not dep.startswith("data/")}
        wanted = {dep for dep in closure.deps_of(name) if not dep.startswith("data/")}
        if seen != wanted:
            missing, extra = sorted(wanted - seen), sorted(seen - wanted)
            problems.append(
                f"deps of {name} in dvc.yaml: missing {missing}, not imported {extra}; paste\n"
                + closure.to_paste([name])
            )
    return problems


@pytest.fixture
def dvc() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    return content


def as_it_should_be() -> dict[str, Any]:
    """A `dvc.yaml` without a mistake, to plant mistakes in."""
    return {
        "stages": {
            name: {
                "cmd": f"python -m flows.{name}",
                "deps": closure.deps_of(name),
                "params": ["seed", "languages", name],
                "outs": [str(stage.out)],
            }
            for name, stage in STAGES.items()
        }
    }


def test_a_stage_has_one_word_everywhere() -> None:
    assert {place: seen ^ set(STAGES) for place, seen in words(ROOT).items()} == {
        place: set() for place in words(ROOT)
    }


def test_a_flow_without_a_stage_is_noticed(tmp_path: Path) -> None:
    for name in ("flows", "tests/unit/stages", "polylm_core/stages"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "params.yaml").write_text("seed: 1\n", encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    (tmp_path / "flows/tokenize.py").touch()
    assert words(tmp_path)["flows"] == {"tokenize"}


def test_the_graph_of_dvc_is_that_of_the_core(dvc: dict[str, Any]) -> None:
    assert graph_problems(dvc) == []


def test_cheap_stages_depend_on_the_code_they_import_and_long_ones_on_none(
    dvc: dict[str, Any],
) -> None:
    problems = code_problems(dvc)
    assert not problems, "\n".join(problems)


def test_the_long_stages_have_a_revision() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert [name for name in BY_REVISION if "revision" not in params[name]] == []


def _drop_input(dvc: dict[str, Any]) -> None:
    dvc["stages"]["mix"]["deps"].remove("data/04_tokens")


def _rename_out(dvc: dict[str, Any]) -> None:
    dvc["stages"]["mix"]["outs"] = ["data/05_mix"]


def _forget_seed(dvc: dict[str, Any]) -> None:
    dvc["stages"]["mix"]["params"].remove("seed")


def _other_command(dvc: dict[str, Any]) -> None:
    dvc["stages"]["mix"]["cmd"] = "python -m flows.encode"


@pytest.mark.parametrize("plant", [_drop_input, _rename_out, _forget_seed, _other_command])
def test_a_planted_difference_of_the_graph_is_caught(
    plant: Callable[[dict[str, Any]], None],
) -> None:
    planted = as_it_should_be()
    assert graph_problems(copy.deepcopy(planted)) == []
    plant(planted)
    assert [problem.split(":")[0] for problem in graph_problems(planted)] == ["mix"]


def _forget_code(dvc: dict[str, Any]) -> None:
    dvc["stages"]["mix"]["deps"].remove("polylm_core/stages/mix/solve.py")


def _foreign_code(dvc: dict[str, Any]) -> None:
    dvc["stages"]["mix"]["deps"].append("polylm_core/chat.py")


def _code_of_a_long_stage(dvc: dict[str, Any]) -> None:
    dvc["stages"]["pretrain"]["deps"].append("polylm_core/stages/pretrain/stage.py")


@pytest.mark.parametrize("plant", [_forget_code, _foreign_code, _code_of_a_long_stage])
def test_a_planted_difference_of_the_code_is_caught(
    plant: Callable[[dict[str, Any]], None],
) -> None:
    planted = as_it_should_be()
    assert code_problems(copy.deepcopy(planted)) == []
    plant(planted)
    assert len(code_problems(planted)) == 1


def test_a_data_file_counts_as_code_of_its_module() -> None:
    assert "polylm_core/languages.tsv" in closure.code_of("ingest")
    assert "polylm_core/stages/evaluate/tasks/translation_choice.yaml" in closure.code_of(
        "evaluate"
    )
