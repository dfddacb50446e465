"""Five planted changes in a small project of DVC and git: each is named, old and new."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polylm_core.cli.explain import answer
from polylm_core.errors import ParamsError

GRAPH = """\
stages:
  encode:
    cmd: cp text.txt tokens.txt
    deps: [text.txt, encode.py]
    params: [seed, encode]
    outs: [tokens.txt]
  mix:
    cmd: cp tokens.txt mixture.txt
    deps: [tokens.txt]
    params: [seed, mix]
    outs: [mixture.txt]
  pretrain:
    cmd: cp mixture.txt base.txt
    deps: [mixture.txt]
    outs: [base.txt]
"""
PARAMS = """\
seed: 1
encode: {rows: 5}
mix: {tokens: 100, rate: 0.00006, stages: {base: {share: 0.3}}}
"""
"""DVC writes the rate as 6e-05, which is a text to YAML 1.1."""


def run(root: Path, *command: str) -> None:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "true", "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(command, cwd=root, check=True, capture_output=True, env=environment)


def commit(root: Path, what: str) -> None:
    run(root, "git", "add", "-A")
    names = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    run(root, "git", *names, "commit", "-qm", what)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    contents = {"dvc.yaml": GRAPH, "params.yaml": PARAMS, "text.txt": "a", "encode.py": "pass"}
    for name, content in contents.items():
        (root / name).write_text(content, encoding="utf-8")
    run(root, "git", "init", "-q")
    run(root, sys.executable, "-m", "dvc", "init", "-q")
    run(root, sys.executable, "-m", "dvc", "repro", "-q")
    commit(root, "Run it")
    return root


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))


def change(root: Path, file: str, old: str, new: str, *, as_commit: str | None = None) -> None:
    text = (root / file).read_text(encoding="utf-8")
    assert old in text
    (root / file).unlink()  # DVC may have linked it to its cache
    (root / file).write_text(text.replace(old, new), encoding="utf-8")
    if as_commit is not None:
        commit(root, as_commit)


def reasons(told: dict[str, Any], part: str = "because") -> list[tuple[Any, ...]]:
    return [(row["why"], row["what"], row["old"], row["new"]) for row in told[part]]


def test_a_changed_parameter_is_named_with_its_commit(project: Path) -> None:
    change(project, "params.yaml", "share: 0.3", "share: 0.6", as_commit="More of the others")
    change(project, "params.yaml", "seed: 1", "seed: 1 # as it was", as_commit="Say why")
    told = answer(project, "mix")
    assert reasons(told) == [("parameter", "mix.stages.base.share", 0.3, 0.6)]
    assert told["because"][0]["since"].endswith("More of the others")
    assert told["runs_again"]


def test_changed_code_is_named_with_its_commit(project: Path) -> None:
    change(project, "encode.py", "pass", "print()", as_commit="Print")
    told = answer(project, "encode")
    ((why, what, old, new),) = reasons(told)
    assert (why, what) == ("file modified", "encode.py")
    assert old != new
    assert told["because"][0]["since"].endswith("Print")


def test_changed_data_is_named_though_nobody_has_committed_it(project: Path) -> None:
    change(project, "text.txt", "a", "b")
    told = answer(project, "encode")
    assert told["because"][0]["what"] == "text.txt"
    assert told["because"][0]["since"] == "not committed"


def test_a_change_before_the_stage_is_its_cause(project: Path) -> None:
    change(project, "params.yaml", "rows: 5", "rows: 7")
    told = answer(project, "pretrain")
    assert told["because"][-1]["since"] == "because mix runs again"
    before = reasons(told, "because_of_stages_before")
    assert ("parameter", "encode.rows", 5, 7) in before
    assert ("stage before it", "encode", None, None) in before


def test_a_deleted_output_is_named(project: Path) -> None:
    (project / "mixture.txt").unlink()
    told = answer(project, "mix")
    ((why, what, _, _),) = reasons(told)
    assert (why, what) == ("output deleted", "mixture.txt")


def test_nothing_changed_and_no_such_stage_are_told(finished: Path) -> None:
    told = answer(finished, "pretrain")
    assert not told["runs_again"]
    assert "nothing changed" in told["remark"]
    with pytest.raises(ParamsError, match=r"no such stage \(known: encode, mix, pretrain\)"):
        answer(finished, "train")
