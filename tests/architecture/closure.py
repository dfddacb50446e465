"""Which files a stage's result depends on: `python -m tests.architecture.closure [stage ...]`.

In: the import graph of the core. Out: the `deps` of each stage in `dvc.yaml`, ready to paste. A
stage that takes minutes on a laptop and days on a cluster must not be repeated for a comment, so
the long ones list no code and are repeated by raising their `revision`.
"""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path

import grimp
import yaml

from polylm_core.pipeline import SOURCES, STAGES, Stage

ROOT = Path(__file__).parents[2]
CORE = "polylm_core"
BY_REVISION = ("pretrain", "instruct", "finetune")
"""The long stages, repeated when their `revision` is raised."""


@functools.cache
def import_graph() -> grimp.ImportGraph:
    """The imports of the core; those for type checkers alone cannot change a result."""
    return grimp.build_graph(CORE, exclude_type_checking_imports=True, cache_dir=None)


def code_of(stage: str) -> list[str]:
    """Files of the core that a stage's function imports, and the data files beside them."""
    graph = import_graph()
    entries = {f"{CORE}.stages.{stage}.stage", *_named(stage)}
    modules = entries.union(*(graph.find_upstream_modules(entry) for entry in entries))
    files = {file for module in modules if (file := _file(module)) is not None}
    data = {path for path in _data_files() if _belongs(path, stage, files)}
    return sorted(str(path.relative_to(ROOT)) for path in files | data)


def _named(stage: str) -> set[str]:
    """Modules that the stage's task files name: lm-evaluation-harness imports them."""
    folder = ROOT / CORE / "stages" / stage
    files = [file for file in _data_files() if file.suffix == ".yaml" and folder in file.parents]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return set(re.findall(rf"!function ({CORE}[\w.]+)\.\w+", text))


def _file(module: str) -> Path | None:
    """The file of a module; none for a package, whose `__init__.py` holds a docstring only."""
    path = ROOT / Path(*module.split(".")).with_suffix(".py")
    return path if path.is_file() else None


@functools.cache
def _data_files() -> tuple[Path, ...]:
    return tuple(
        path
        for path in sorted((ROOT / CORE).rglob("*"))
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    )


def _belongs(path: Path, stage: str, code: set[Path]) -> bool:
    """A file in a stage's folder is the stage's; `languages.tsv` is that of `languages.py`."""
    folder = ROOT / CORE / "stages" / stage
    return path.is_relative_to(folder) or path.with_suffix(".py") in code


def data_of(stage: Stage) -> list[str]:
    """The artifacts a stage takes, and the sources if it reads them."""
    artifacts = [str(STAGES[name].out) for name in stage.inputs]
    return sorted([*artifacts, *([str(SOURCES)] if stage.reads_sources else [])])


def deps_of(name: str) -> list[str]:
    """The `deps` of a stage: its data, and its code unless it goes by its revision."""
    code = [] if name in BY_REVISION else code_of(name)
    return [*data_of(STAGES[name]), *code]


def to_paste(names: list[str]) -> str:
    """The `deps` of stages as YAML, indented as in `dvc.yaml`."""
    text = yaml.safe_dump({name: {"deps": deps_of(name)} for name in names}, sort_keys=False)
    return "".join(f"  {line}\n" for line in text.replace("\n  - ", "\n    - ").splitlines())


if __name__ == "__main__":
    print(to_paste(sys.argv[1:] or list(STAGES)), end="")
