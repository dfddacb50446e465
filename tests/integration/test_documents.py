"""The README and the how-tos are typed out, command by command, in a finished checkout.

`tests/documents/table.py` says which command is executed otherwise than it stands, and why. The
long ones are in the long tests.
"""

from __future__ import annotations

import json
import lzma
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from tests.clone import ROOT, Clone, free_port
from tests.documents.extract import DOCUMENTS, all_commands
from tests.documents.table import EXPORTED, STAND_INS, entry_of, executed
from tests.unit.cli.test_calibration import FINEWEB2
from tests.upload_hub import take_uploads

pytestmark = pytest.mark.timeout(900)
NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]
ON_DEFAULT = ("docs/howto/add-a-language.md", "docs/howto/train-100m.md")
"""Documents that begin with the default recipe and all of its text."""
BEGUN_WITH = ("params.yaml", "dvc.lock", ".dvc/config")
# What another program pipes into it is read, or that one would end with status 141 now and then.
STAND_IN = '#!/bin/sh\n[ ! -p /dev/stdin ] || cat > /dev/null\necho "{name} $*"\n'
SWAHILI = ROOT / "data/00_sources/udhr/swh_Latn.txt.xz"
KHMER = "មនុស្សទាំងអស់កើតមកមានសេរីភាព និងសមភាព"


@dataclass(frozen=True)
class Tour:
    """A finished checkout, and the environment of its reader."""

    path: Path
    environment: dict[str, str]

    def run(self, command: str, *, is_program: bool) -> tuple[int, str]:
        """Type a command; return its status and all it printed."""
        words = ["python", "-c"] if is_program else ["bash", "-euo", "pipefail", "-c"]
        done = subprocess.run(
            [*words, command],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def tour(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    """A copy of the finished checkout, whose commands a reader types."""
    home = tmp_path_factory.mktemp("reader")
    root = home / "checkout"
    shutil.copytree(clone.path, root, ignore=shutil.ignore_patterns(".prefect", ".venv"))
    _make_environment(root / ".venv", home / "stand-ins")
    _write_texts(root, home)
    reader = ("git", "-c", "user.name=r", "-c", "user.email=r@r")
    for step in (("add", "--all"), ("commit", "--quiet", "--allow-empty", "--message", "start")):
        subprocess.run([*reader, *step], cwd=root, check=True)
    with take_uploads() as hub:
        environment = {
            **clone.environment,
            **EXPORTED,
            "HOME": str(home),
            "CHECKOUT": str(root),
            "PATH": f"{home / 'stand-ins'}:{root / '.venv/bin'}:{os.environ['PATH']}",
            "PREFECT_SERVER_API_PORT": str(free_port()),
            "PREFECT_HOME": str(root / ".prefect"),
            "PYTHONPATH": str(root),
            "PYTEST_ADDOPTS": "tests/unit/test_rounding.py tests/integration/test_megatron.py",
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": hub.token,
            "HF_HUB_DISABLE_XET": "1",
        }
        tour = Tour(root, environment)
        step = tour.run("polylm trace step 3 --json 2> /dev/null", is_program=False)[1]
        environment["DOCUMENT"] = json.loads(step)["documents"][0]["document"]
        yield tour
        tour.run("python -m flows.stop", is_program=False)


def _make_environment(folder: Path, stand_ins: Path) -> None:
    """Make .venv of links into this environment, and the programs that only take their words."""
    (folder / "bin").mkdir(parents=True)
    for name in ("lib", "lib64", "include", "pyvenv.cfg"):
        if (Path(sys.prefix) / name).exists():
            (folder / name).symlink_to(Path(sys.prefix) / name)
    for program in (Path(sys.prefix) / "bin").iterdir():
        if program.name not in STAND_INS and program.name != "activate":
            (folder / "bin" / program.name).symlink_to(program)
    activate = f'export PATH="{stand_ins}:{folder / "bin"}:$PATH"\n'
    (folder / "bin/activate").write_text(activate, encoding="utf-8")
    stand_ins.mkdir()
    for name in STAND_INS:
        for place in (stand_ins / name, folder / "bin" / name):
            place.write_text(STAND_IN.format(name=name), encoding="utf-8")
            place.chmod(0o755)
    (folder / ".installed").touch()  # newer than pyproject.toml: nothing is to be installed


def _write_texts(root: Path, home: Path) -> None:
    """Write the files that the reader of a how-to has."""
    (home / "swahili").mkdir()
    words, draw = lzma.decompress(SWAHILI.read_bytes()).decode().split(), random.Random(1234)
    for number in range(150):
        lines = [" ".join(draw.choices(words, k=30)) + "." for _ in range(8)]
        (home / f"swahili/{number}.txt").write_text("\n".join(lines), encoding="utf-8")
    (root / "books").mkdir()
    khmer = "\n\n".join(f"{KHMER} {number} {KHMER}។" for number in range(150))
    (root / "books/a.txt").write_text(khmer, encoding="utf-8")
    rows = "".join(json.dumps({"text": f"{KHMER}។ {number}"}) + "\n" for number in range(150))
    with pa.CompressedOutputStream(str(root / "news.jsonl.zst"), "zstd") as file:
        file.write(rows.encode())
    for name in ("khm_Khmr", "amh_Ethi"):
        (root / f"{name}.yml").write_text(FINEWEB2, encoding="utf-8")


@pytest.fixture
def as_it_was(tour: Tour, request: pytest.FixtureRequest) -> Iterator[Tour]:
    """The tour with the recipe, the text and the settings that a document begins with."""
    kept = {name: (tour.path / name).read_bytes() for name in BEGUN_WITH}
    sources, aside = tour.path / "data/00_sources", tour.path / "data/.sources"
    if request.node.callspec.params["document"] in ON_DEFAULT:
        shutil.copyfile(ROOT / "params.yaml", tour.path / "params.yaml")
        sources.rename(aside)
        shutil.copytree(ROOT / "data/00_sources", sources)
    yield tour
    for name, content in kept.items():
        (tour.path / name).write_bytes(content)
    if aside.exists():
        shutil.rmtree(sources)
        aside.rename(sources)


def type_out(tour: Tour, document: str, *, also_slow: bool) -> list[str]:
    """Type the commands of a document in their order; return what went wrong."""
    wrong = []
    for command in all_commands():
        entry = entry_of(command)
        if command.document != document or (entry and entry.is_slow and not also_slow):
            continue
        status, told = tour.run(executed(command), is_program=command.is_program)
        if status not in ((0,) if entry is None else entry.statuses) or "Traceback" in told:
            wrong.append(f"$ {executed(command)}\n{told[-2000:]}\nexit status {status}")
    return wrong


@pytest.mark.parametrize("document", NAMES)
def test_the_short_commands_of_a_document_do_what_they_say(as_it_was: Tour, document: str) -> None:
    assert "\n".join(type_out(as_it_was, document, also_slow=False)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("document", NAMES)
def test_all_commands_of_a_document_do_what_they_say(as_it_was: Tour, document: str) -> None:
    assert "\n".join(type_out(as_it_was, document, also_slow=True)) == ""
