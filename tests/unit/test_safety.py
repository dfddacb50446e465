"""A run is not started with packages that have holes, nor with a service that lets anybody in."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from flows._profile import load_safe_profile
from polylm_core import safety
from polylm_core.errors import MachineError
from polylm_core.safety import hole_in, is_loopback, prefect_problem, ray_problem
from tests.clone import ROOT

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a long token"}


@pytest.mark.parametrize(
    ("package", "last_with", "first_without"),
    [
        ("ray", "2.55.1", "2.56.0"),
        ("prefect", "3.6.23", "3.6.24"),
        ("deepspeed", "0.15.0", "0.15.1"),
        ("torch", "2.5.1+cpu", "2.6.0+cpu"),
        ("transformers", "5.2.0", "5.2.1"),
    ],
)
def test_a_version_with_a_known_hole_is_told_from_the_next(
    package: str, last_with: str, first_without: str
) -> None:
    assert "has a known vulnerability" in hole_in(package, last_with)
    assert hole_in(package, first_without) == ""
    assert hole_in(package, metadata.version(package)) == ""


def test_hosts_of_this_machine_alone() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.0.1", "::1", "[::1]")))
    assert not any(map(is_loopback, ("", "0.0.0.0", "10.0.0.5", "head", "localhost.example")))


@pytest.mark.parametrize(
    "address",
    ["10.0.0.5:6379", "ray://head:10001", "head", "auto", "http://[bad", "[fe80::1]:6379"],
)
def test_a_ray_elsewhere_needs_a_token(address: str, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    for environment in (
        home,
        {**home, "RAY_AUTH_MODE": "token"},
        {**home, "RAY_AUTH_TOKEN": "a long token"},  # which nobody looks at without the mode
        {**home, **TOKEN, "RAY_AUTH_MODE": "disabled"},
    ):
        assert "asks for no token" in ray_problem(address, environment)
        assert "set RAY_AUTH_MODE=token" in ray_problem(address, environment)
    assert ray_problem(address, {**home, **TOKEN}) == ""
    file = tmp_path / "token"
    file.write_text("a long token")
    in_file = {**home, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)}
    assert ray_problem(address, in_file) == ""
    file.write_text("\n")
    assert ray_problem(address, in_file) != ""


def test_a_ray_of_this_machine_needs_none_unless_it_is_private_and_open() -> None:
    for address in ("127.0.0.1:6379", "ray://localhost:10001", "[::1]:6379", None, "local"):
        assert ray_problem(address, {}) == ""
    assert "private Ray; unset it" in ray_problem(None, {"RAY_AUTH_MODE": "disabled"})


def test_a_prefect_elsewhere_needs_a_token() -> None:
    for address in ("http://prefect:4200/api", "https://user:pw@p.example/api", "http://10.0.0.5"):
        told = prefect_problem({"PREFECT_API_URL": address})
        assert "without a token" in told
        assert "pw@" not in told
        for name in ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"):
            assert prefect_problem({"PREFECT_API_URL": address, name: "admin:secret"}) == ""
    assert prefect_problem({}) == ""
    assert prefect_problem({"PREFECT_API_URL": "http://127.0.0.1:4200/api"}) == ""


def test_a_flow_is_refused_with_everything_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra/profiles").symlink_to(ROOT / "infra/profiles")
    for name in ("RAY_AUTH_MODE", "RAY_ADDRESS", "PREFECT_API_URL", "POLYLM_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    load_safe_profile(tmp_path)
    true_version = metadata.version
    old = {"ray": "2.55.1", "torch": "2.5.1"}
    monkeypatch.setattr(metadata, "version", lambda name: old.get(name) or true_version(name))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.5:6379")
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect:4200/api")
    with pytest.raises(MachineError) as refused:
        load_safe_profile(tmp_path)
    told = str(refused.value)
    for wrong in ("ray 2.55.1 has", "torch 2.5.1 has", "Ray at 10.0.0.5:6379", "Prefect at http"):
        assert wrong in told


def test_a_run_without_ray_does_not_ask_for_its_token() -> None:
    environment = {"RAY_ADDRESS": "10.0.0.5:6379", "HOME": "/nowhere"}
    assert list(safety.problems(None, environment, uses_ray=False)) == []
    assert len(list(safety.problems(None, environment))) == 1
