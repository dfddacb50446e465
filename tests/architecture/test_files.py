"""What every file of the project keeps to: size, docstring, name, and words that must not ship."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.closure import ROOT

MAX_FILE_LINES = 300
MAX_TEST_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
CODE = ("polylm_core", "flows", "infra")
SHIPPED = (*CODE, "tests", "recipes", "docs", "benchmarks", ".ci", ".dvc/config")
TEXT_SUFFIXES = {
    *("", ".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".tsv", ".html", ".j2", ".cfg"),
    *(".Dockerfile", ".config", ".sbatch", ".sh"),
}
VAGUE_NAMES = {"utils", "util", "helpers", "common", "misc", "lib"}

# Put together from parts, so that this file may ship itself.
REGISTRIES = (
    *("pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org"),
    *("download.py" + "torch.org", "huggingface" + ".co/datasets", "deb.deb" + "ian.org"),
)
MACHINE_PATH = re.compile(r"(?<![\w.$}~-])/(?:wor" + r"k|ro" + r"ot)/\w")


def python_files() -> list[Path]:
    return [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]


def shipped_files() -> Iterator[Path]:
    """Text files of the project: those in the root, and all in its folders but data."""
    tops = [path for path in ROOT.iterdir() if path.is_file() and path.name != "LICENSE"]
    below = [path for name in SHIPPED for path in sorted((ROOT / name).rglob("*"))]
    for path in [*sorted(tops), *below]:
        if path.is_file() and path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts:
            yield path


def shape_problems(source: str, *, max_lines: int = MAX_FILE_LINES) -> list[str]:
    """What is wrong with a module: too long, a function too long, no docstring."""
    tree = ast.parse(source)
    problems = []
    lines = len(source.splitlines())
    if lines > max_lines:
        problems.append(f"{lines} lines, at most {max_lines}")
    if not ast.get_docstring(tree):
        problems.append("no module docstring")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                problems.append(f"{node.name} has {length} lines, at most {MAX_FUNCTION_LINES}")
    return problems


def foreign_words(text: str) -> list[str]:
    """Package registries by name, and paths that exist on one machine only."""
    return [word for word in REGISTRIES if word in text] + MACHINE_PATH.findall(text)


def holds_code(source: str) -> bool:
    body = ast.parse(source).body
    return any(not isinstance(node, ast.Expr | ast.ImportFrom) for node in body) or len(body) > 1


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_documented(path: Path) -> None:
    assert shape_problems(path.read_text(encoding="utf-8")) == []


def test_test_files_stay_readable_too() -> None:
    long = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if len(path.read_text(encoding="utf-8").splitlines()) > MAX_TEST_FILE_LINES
    ]
    assert long == []


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ('"""Doc."""\n' + "x = 1\n" * MAX_FILE_LINES, "301 lines, at most 300"),
        ("x = 1\n", "no module docstring"),
        (
            '"""Doc."""\ndef f():\n' + "    x = 1\n" * MAX_FUNCTION_LINES,
            "f has 41 lines, at most 40",
        ),
    ],
)
def test_a_planted_shape_is_caught(source: str, problem: str) -> None:
    assert shape_problems(source) == [problem]


def test_no_module_has_a_vague_name() -> None:
    named = {path.stem for path in python_files()} | {path.parent.name for path in python_files()}
    assert named & VAGUE_NAMES == set()


def test_packages_hold_a_docstring_only() -> None:
    """So that the import closure of a stage is its modules, and an import costs what it names."""
    wrong = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if path.name == "__init__.py" and holds_code(path.read_text(encoding="utf-8"))
    ]
    assert wrong == []


@pytest.mark.parametrize("source", ['"""Doc."""\nimport os\n', '"""Doc."""\nx = 1\n'])
def test_planted_code_in_a_package_is_caught(source: str) -> None:
    assert holds_code(source)


def test_no_shipped_file_names_a_registry_or_a_path_of_one_machine() -> None:
    found = {
        str(path.relative_to(ROOT)): words
        for path in shipped_files()
        if (words := foreign_words(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize("planted", [f"see https://{REGISTRIES[0]}/simple", "cd /ro" + "ot/polylm"])
def test_a_planted_foreign_word_is_caught(planted: str) -> None:
    assert foreign_words(planted) != []


def test_relative_and_similar_paths_are_no_false_alarm() -> None:
    assert foreign_words("tests/wor" + "k/model, run.wor" + "k/loss, $HOME/wor" + "k/data") == []
