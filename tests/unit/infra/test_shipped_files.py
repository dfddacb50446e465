"""Every file of infra/ is held to something, and none holds a secret or opens a door."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.architecture.closure import ROOT

INFRA = ROOT / "infra"
FILES = sorted(
    path for path in INFRA.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
)
HELD = {
    "profiles/*.yaml": "tests/architecture/test_recipes.py",
    "docker/*": "tests/unit/infra/test_images.py",
    "kuberay/*": "tests/unit/infra/test_kubernetes.py",
    "prefect/kubernetes-pool.json": "tests/unit/infra/test_prefect_files.py",
    "prefect/prefect.yaml": "tests/unit/infra/test_prefect_files.py",
    "prefect/*.yaml": "tests/unit/infra/test_prefect_server.py",
    "ray/*.yaml": "tests/unit/infra/test_ray_cluster.py",
    "ray/*.json": "tests/unit/infra/test_object_store.py",
    "ray/*.s*": "tests/unit/infra/test_scripts.py",
    "storage/*": "tests/unit/infra/test_object_store.py",
}
"""Where the tests are that hold a file to the schema of what reads it."""
SECRETS = (
    re.compile(r"AKIA[0-9A-Z]{16}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    re.compile(
        r"(?i)(?:password|secret|token|auth_?string|api_?key)[\"']?\s*[:=]\s*[\"']?[\w+/-]{8}"
    ),
    re.compile(r"://[^/\s:]+:[^/\s@$]+@"),
)
FLOATING = re.compile(r"image: \S+:latest|^FROM \S+:latest|image: [\w/.-]+$", re.MULTILINE)
WIDE = re.compile(r"0\.0\.0\.0(?!/0)|\[::\]")
BEHIND_A_DOOR = {
    "kuberay/base/raycluster.yaml": "a pod's address, before which stand policy and token",
    "prefect/compose.yaml": "a container's address, published on loopback only",
}


def secrets(text: str) -> list[str]:
    return [found[0] for pattern in SECRETS for found in pattern.finditer(text)]


def name(path: Path) -> str:
    return path.relative_to(INFRA).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_has_a_test_that_holds_it_to_its_schema(path: Path) -> None:
    assert any(fnmatch(name(path), pattern) for pattern in HELD)


def test_the_tests_that_hold_them_are_there() -> None:
    named = [test for test in HELD.values() if test.startswith("tests/")]
    assert [test for test in named if not (ROOT / test).is_file()] == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_file_holds_a_secret(path: Path) -> None:
    assert secrets(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "planted",
    [
        "aws_access_key_id = " + "AKIA" + "ABCDEFGHIJKLMNOP",
        "POSTGRES_PASSWORD: correcthorse",
        'RAY_AUTH_TOKEN="0123456789abcdef"',
        "PREFECT_SERVER_API_AUTH_STRING=admin-battery",
        "url: postgresql+asyncpg://prefect:horse@database/prefect",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
    ],
)
def test_a_planted_secret_is_found(planted: str) -> None:
    assert secrets(planted) != []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_file_binds_to_every_address_or_takes_what_is_newest(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert name(path) in BEHIND_A_DOOR or WIDE.findall(text) == []
    if "kuberay" not in path.parts:  # there Kustomize says the versions
        assert FLOATING.findall(text) == []


@pytest.mark.parametrize(
    ("pattern", "planted"),
    [
        (WIDE, "ray start --head --dashboard-host=0.0.0.0"),
        (WIDE, "uvicorn --host [::]"),
        (FLOATING, "    image: postgres:latest\n"),
        (FLOATING, "    image: postgres\n"),
        (FLOATING, "FROM python:latest\n"),
    ],
)
def test_a_planted_opening_is_found(pattern: re.Pattern[str], planted: str) -> None:
    assert pattern.findall(planted) != []
