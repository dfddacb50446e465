"""A small checkout of this project in a temporary folder, to run the real commands in.

Its sources are the first lines of the committed ones, so that a whole `dvc repro` takes minutes.
Every port, cache, Prefect home and Ray folder is its own.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from polylm_core.compute.process import command_of

ROOT = Path(__file__).parents[1]
LINES = {"libreoffice-help": 1500, "chromium-l10n": 1200, "udhr": 10_000}
LANGUAGES = ("eng_Latn", "deu_Latn", "tha_Thai", "ace_Latn")


@dataclass(frozen=True)
class Clone:
    """A checkout with an environment of its own."""

    path: Path
    environment: dict[str, str]
    provenance: tuple[dict[str, Any], ...] = ()
    """What the first run wrote of each stage; later runs of a stage write over it."""

    def start(self, *command: str, **changes: str) -> subprocess.Popen[str]:
        """Start a command in the checkout, in a session of its own."""
        return subprocess.Popen(
            command,
            cwd=self.path,
            env={**self.environment, **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, **changes: str) -> tuple[int, str]:
        """Run a command to its end; return its status and all it printed."""
        process = self.start(*command, **changes)
        output, _ = process.communicate(timeout=800)
        return process.returncode, output

    def repro(self, *arguments: str, **changes: str) -> tuple[int, str]:
        """Run `dvc repro`."""
        return self.run(sys.executable, "-m", "dvc", "repro", *arguments, **changes)

    def edit_params(self, old: str, new: str) -> None:
        """Replace a text that stands once in the recipe."""
        file = self.path / "params.yaml"
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in params.yaml"
        file.write_text(text.replace(old, new), encoding="utf-8")

    def artifacts(self) -> dict[str, str]:
        """Return the sha256 of every file of every artifact."""
        return {
            str(file.relative_to(self.path)): hashlib.sha256(file.read_bytes()).hexdigest()
            for folder in sorted((self.path / "data").glob("[01][0-9]_*"))
            for file in sorted(folder.rglob("*"))
            if folder.name != "00_sources" and file.is_file()
        }

    def read_provenance(self) -> tuple[dict[str, Any], ...]:
        """Return what the last run of each stage wrote."""
        files = sorted((self.path / "runs").glob("*/provenance.json"))
        return tuple(json.loads(file.read_text()) for file in files)

    def processes(self) -> list[int]:
        """Pids that work in this checkout, or name it."""
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in pids if _folder_of(pid) == self.path or self._named_by(pid)]

    def stop(self) -> None:
        """End the checkout's Prefect server and Ray."""
        self.run(sys.executable, "-m", "flows.stop")

    def _named_by(self, pid: int) -> bool:
        return str(self.path) in command_of(pid)


def _folder_of(pid: int) -> Path | None:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return None


def executed(output: str) -> list[str]:
    """Stages whose command DVC ran, rather than taking them from a cache."""
    return [line.split(".")[-1] for line in output.splitlines() if line.startswith("> python -m")]


def free_port() -> int:
    """Return a port nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_clone(
    folder: Path, *, recipe: Path = ROOT / "tests/recipes/tiny.yaml", whole_sources: bool = False
) -> Clone:
    """Copy the tracked and new files of this checkout, with small sources and another recipe."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if name == "dvc.lock" or not (ROOT / name).is_file():
            continue
        is_text = name.startswith("data/00_sources/") and name.endswith(".xz")
        if is_text and not whole_sources:
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    for source, lines in LINES.items() if not whole_sources else ():
        _cut_source(ROOT / "data/00_sources" / source, folder / "data/00_sources" / source, lines)
    shutil.copyfile(recipe, folder / "params.yaml")
    _copy_kernels(folder)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return Clone(folder, _environment(folder))


def _copy_kernels(folder: Path) -> None:
    """Give a copy the machine code of this checkout's kernels, half a minute of compiling.

    numba looks at the content of their files, and for them under a hash of their folder's path.
    """
    package = Path("polylm_core")
    compiled = list((ROOT / package / "__pycache__").glob("kernels-*"))
    for source in {file.parent for file in (folder / package).rglob("*.py")}:
        here = ROOT / source.relative_to(folder)
        for cache in compiled:
            if (made := cache / _numba_name(here)).is_dir():
                target = folder / package / "__pycache__" / cache.name / _numba_name(source)
                # Another process may be writing there, and renames such files when they are whole.
                shutil.copytree(made, target, ignore=shutil.ignore_patterns("*.tmp.*"))


def _numba_name(folder: Path) -> str:
    return f"{folder.name}_{hashlib.sha1(str(folder).encode()).hexdigest()}"


def _environment(folder: Path) -> dict[str, str]:
    outside = ("PREFECT_", "RAY_", "DVC_", "POLYLM_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RAY_worker_niceness": "0",
        "PREFECT_SERVER_API_PORT": str(free_port()),
        "PREFECT_HOME": str(folder / ".prefect"),
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc-site"),
        "DVC_NO_ANALYTICS": "true",
    }


def _cut_source(source: Path, target: Path, num_lines: int) -> None:
    target.mkdir(parents=True, exist_ok=True)
    declared = yaml.safe_load((source / "source.yaml").read_text(encoding="utf-8"))
    files = {}
    for name in ("keys", *LANGUAGES):
        file = source / f"{name}.txt.xz"
        if not file.is_file():
            continue
        lines = lzma.decompress(file.read_bytes()).decode().split("\n")[:num_lines]
        lines = lines[:-1] if lines[-1] == "" else lines
        data = lzma.compress("".join(f"{line}\n" for line in lines).encode())
        (target / file.name).write_bytes(data)
        entry = dict(declared["files"][file.name])
        entry |= {"sha256": hashlib.sha256(data).hexdigest(), "lines": len(lines)}
        entry["texts"] = sum(1 for line in lines if line)
        files[file.name] = entry
    declared["files"] = files
    (target / "source.yaml").write_text(
        yaml.safe_dump(json.loads(json.dumps(declared)), allow_unicode=True), encoding="utf-8"
    )
