"""A lock names every file by its sha256; an audit tells what is known, or that it could not ask."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from infra import audit, lock
from polylm_core.errors import MachineError


def item(name: str, version: str, sha256: str | None) -> dict[str, Any]:
    hashes = {} if sha256 is None else {"hashes": {"sha256": sha256}}
    metadata = {"name": name, "version": version}
    return {"metadata": metadata, "download_info": {"url": "…", "archive_info": hashes}}


HERE = {"metadata": {"name": "polylm", "version": "1"}, "download_info": {"dir_info": {}}}


def test_a_lock_has_every_package_once_by_name() -> None:
    first = {"install": [HERE, item("PyYAML", "6", "a" * 64), item("a.b_c", "1", "b" * 64)]}
    text = lock.locked([first, {"install": [item("a-b-c", "1", "b" * 64)]}])
    pins = [line for line in text.splitlines() if "==" in line or "--hash=" in line]
    assert pins == [
        "a-b-c==1 \\",
        f"    --hash=sha256:{'b' * 64}",
        "pyyaml==6 \\",
        f"    --hash=sha256:{'a' * 64}",
    ]


def test_a_package_without_a_hash_is_told() -> None:
    with pytest.raises(MachineError, match="no sha256 of bare"):
        lock.locked([{"install": [item("bare", "1", None)]}])


def make_wheel(folder: Path) -> Path:
    """A package of its own, as a file that needs no index."""
    wheel = folder / "polylm_lock_test-1.0-py3-none-any.whl"
    info = "polylm_lock_test-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr("polylm_lock_test.py", "")
        made.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: polylm-lock-test\nVersion: 1.0\n"
        )
        made.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        made.writestr(f"{info}/RECORD", "")
    return wheel


def test_pip_refuses_another_file_than_the_locked_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "constraints.txt").write_text("")
    found = lock.report("--no-index", "--find-links", str(tmp_path), "polylm-lock-test")
    text = lock.locked([found])
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() in text
    (tmp_path / "requirements.lock").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--no-index",
    ]
    command += ["--find-links", str(tmp_path), "--require-hashes", "-r", "requirements.lock"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    with zipfile.ZipFile(wheel, "a") as made:
        made.writestr("harm.py", "")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_what_pip_cannot_resolve_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "constraints.txt").write_text("")
    with pytest.raises(MachineError, match=r"pip cannot resolve .* nowhere-to-be-found: ERROR"):
        lock.report("--no-index", "nowhere-to-be-found")


def test_an_audit_tells_each_vulnerability_with_its_mend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hole = {"id": "PYSEC-1", "fix_versions": ["2.6"]}
    found = {
        "dependencies": [
            {"name": "torch", "version": "2.5", "vulns": [hole, {"id": "X", "fix_versions": []}]},
            {"name": "numpy", "version": "2", "vulns": []},
            {"name": "own", "skip_reason": "editable"},
        ]
    }
    monkeypatch.setattr(audit, "asked", lambda: (found, ""))
    assert audit.main() == 1
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "error: torch 2.5: PYSEC-1; install 2.6, and pin it in constraints.txt",
        "error: torch 2.5: X; no mend is known",
    ]


def test_an_audit_that_cannot_ask_says_so_and_refuses_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="a\nno route to the service\n")
    monkeypatch.setattr(audit, "find_spec", lambda name: object())
    monkeypatch.setattr(subprocess, "run", lambda *given, **named: failed)
    assert audit.main() == 0
    assert capsys.readouterr().out.endswith(
        "not looked up for vulnerabilities: no route to the service\n"
    )
    monkeypatch.setattr(audit, "find_spec", lambda name: None)
    assert audit.main() == 0
    assert "make install" in capsys.readouterr().out
