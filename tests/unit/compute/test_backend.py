"""A Ray of this machine is not one of a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.compute import backend
from polylm_core.settings import Profile, load_profile

PROFILES = Path(__file__).parents[3] / "infra/profiles"


def test_a_profile_of_a_cluster_is_no_private_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.os, "cpu_count", lambda: 2)
    cpus = load_profile(PROFILES, "32x8-a100").private_ray_cpus
    assert cpus == 1024
    problem = backend.private_ray_problem(cpus)
    assert problem is not None
    assert "takes 1024 CPUs" in problem
    assert "RAY_ADDRESS" in problem


def test_the_laptops_ranks_may_take_turns_on_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.os, "cpu_count", lambda: 1)
    assert backend.private_ray_problem(load_profile(PROFILES, "laptop").private_ray_cpus) is None


def test_processes_of_this_machine_take_no_cpu_of_ray() -> None:
    assert Profile(map_workers=64).private_ray_cpus == 2
    assert Profile(map_workers=64, map_backend="ray").private_ray_cpus == 64
