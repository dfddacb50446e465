"""`polylm init`: a project folder for one's own languages and text, which `make run` then runs.

A project is a clone of the checkout that makes it, with a recipe and text of its own
(docs/decisions/0019): one repository has the code, the recipe and the text of a result.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polylm_core.cli.own_recipe import Project, recipe_text
from polylm_core.cli.own_text import COMMAND, read_pairs, read_texts
from polylm_core.errors import MachineError, ParamsError, Problem
from polylm_core.params import load_params
from polylm_core.pipeline import SOURCES, check_sources

CHECKOUT = Path(__file__).resolve().parents[2]
"""The checkout that this command is of."""
DECLARATION = SOURCES / "udhr"
README = """\
# {name}

A [PolyLM](docs/architecture.md) project: {languages}. The text is in `data/00_sources`, the recipe
in `params.yaml`.

```
make run       # whatever is not up to date: the report is data/10_report/report.html
polylm doctor  # what is missing, after . .venv/bin/activate
```

More text and languages: [docs/howto/add-a-language.md](docs/howto/add-a-language.md). All
parameters: [docs/params.md](docs/params.md). What each stage does:
[docs/pipeline.md](docs/pipeline.md). Made from PolyLM {commit}.
"""


def made(
    folder: Path,
    texts: Sequence[str],
    pairs: Sequence[str],
    license: str,
    checkout: Path = CHECKOUT,
) -> dict[str, Any]:
    """Make the project `folder`; return what is to be told of it.

    `texts` and `pairs` are `LANGUAGE=FILE`. Raises ParamsError with all that is wrong with them,
    MachineError where the folder is taken or the checkout cannot be cloned.
    """
    if folder.exists():
        raise MachineError(f"{folder} is there already; name a folder that is not")
    project = Project(folder.resolve().name, license, read_texts(texts), read_pairs(pairs))
    _require_pairs(project, checkout)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        commit = _clone(checkout, partial)
        _fill(partial, project, commit)
        params = load_params(partial / "params.yaml")
        check_sources(partial / SOURCES, params)
        _git(partial, "add", "--all")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _told(folder, project, commit, checkout)


def _told(folder: Path, project: Project, commit: str, checkout: Path) -> dict[str, Any]:
    return {
        "text": [text.described() for text in project.texts],
        "pairs": [
            {"language": pairs.language, "pairs": pairs.pairs, "bytes": pairs.bytes}
            for pairs in project.pairs
        ],
        "project": {
            "folder": str(folder),
            "languages": project.languages,
            "code": f"PolyLM {commit}",
            **_remarks(folder, checkout),
            "next": f"cd {folder} && make run",
        },
    }


def _require_pairs(project: Project, checkout: Path) -> None:
    """Raise ParamsError for languages of which nothing is aligned with English."""
    given = {part.language for part in project.pairs}
    problems = [
        Problem(
            code,
            "there are no pairs with English, which translation is learned from and scored on; "
            f"give some hundred with --pairs {code}=FILE (English, a tab, the translation)",
        )
        for code in project.languages[1:]
        if code not in given and not (checkout / DECLARATION / f"{code}.txt.xz").is_file()
    ]
    if problems:
        raise ParamsError(COMMAND, problems)


def _clone(checkout: Path, folder: Path) -> str:
    """Clone the checkout; return its commit."""
    if shutil.which("git") is None:
        raise MachineError("no git on PATH: apt install git")
    if not (checkout / ".git").exists():
        raise MachineError(
            f"{checkout} is no git checkout, of which a project would be a clone; get PolyLM by "
            "`git clone`, `make install` there, and run its polylm init"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    _git(checkout, "clone", "--quiet", "--origin", "polylm", str(checkout), str(folder.absolute()))
    return _git(folder, "rev-parse", "--short=12", "HEAD").strip()


def _git(folder: Path, *words: str) -> str:
    """Run git in a folder; return what it printed, or raise MachineError with its words."""
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MachineError(f"git {words[0]} in {folder} failed: {done.stderr.strip()}")
    return done.stdout


def _fill(folder: Path, project: Project, commit: str) -> None:
    """Put the recipe, the text and the project's README in place of the default's."""
    for part in project.texts:
        _copy(part.files, folder / SOURCES / part.source)
    for pairs in project.pairs:
        _copy([pairs.file], folder / SOURCES / pairs.source)
    recipe = folder / "params.yaml"
    try:
        text = recipe_text(recipe, project)
    except (KeyError, TypeError) as error:
        message = (
            f"has no {error}, so it is not the default recipe, which a project's is made from; "
            "commit that one as params.yaml first"
        )
        raise ParamsError(f"params.yaml of {commit}", [Problem("(top level)", message)]) from error
    recipe.write_text(text, encoding="utf-8")
    (folder / "dvc.lock").unlink(missing_ok=True)
    text = README.format(name=project.name, languages=", ".join(project.languages), commit=commit)
    (folder / "README.md").write_text(text, encoding="utf-8")
    environment = Path(sys.prefix)
    if (environment / ".installed").is_file():  # made by `make install`
        (folder / ".venv").symlink_to(environment.resolve())


def _copy(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)


def _remarks(folder: Path, checkout: Path) -> dict[str, str]:
    """What whoever made the project should know of it."""
    remarks = {"git": "its files are added and not committed: git commit is yours"}
    if (folder / ".venv").is_symlink():
        shared = (folder / ".venv").readlink()
        remarks["environment"] = f"{shared}, shared; without the link make run installs another"
    if _git(checkout, "status", "--porcelain", "--untracked-files=no").strip():
        remarks["left out"] = f"what is not committed in {checkout}"
    return remarks
