"""A profile's machines: this one for units of work, a cluster for ranks, or either for both."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flows._backends import make_backend
from polylm_core.compute import on_ray
from polylm_core.compute.local import LocalBackend
from polylm_core.settings import load_profile

LOCAL = LocalBackend(map_workers=1, training_workers=2, threads_per_worker=1)
WITHOUT_RAY = """
import sys
from pathlib import Path
from flows._backends import make_backend
from polylm_core.compute.local import LocalBackend
from polylm_core.settings import load_profile
local = LocalBackend(map_workers=1, training_workers=2, threads_per_worker=1)
profile = load_profile(Path("infra/profiles"), "laptop")
backend = make_backend(profile, local, work=Path("runs/mix-1"), on_wait=print)
assert profile.training.backend == "ray"
assert list(backend.map(abs, [-1, 2])) == [1, 2]
assert backend.training_workers == 2
assert "ray" not in sys.modules, "Ray was imported for units of work of this machine"
"""


class Cluster:
    """Stands for Ray: tells what it was made for."""

    made: Mapping[str, Any]

    def __init__(self, **named: Any) -> None:
        Cluster.made = named

    def map(self, function: Any, items: Any) -> Any:
        return (("on the cluster", function(item)) for item in items)

    def launch(self, worker: str, config: Mapping[str, Any], **named: Any) -> None:
        named["on_note"](f"{worker} of {sorted(config)} in {named['work']}")


def test_a_stage_that_maps_on_this_machine_pays_nothing_for_ray() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_ranks_are_launched_on_the_cluster_that_the_profile_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(on_ray, "RayBackend", Cluster)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    profile = load_profile(Path("infra/profiles"), "laptop").model_copy(
        update={"ray_address": "10.0.0.1:6379"}
    )
    notes: list[str] = []
    backend = make_backend(profile, LOCAL, work=Path("runs/pretrain-1"), on_wait=notes.append)
    backend.launch(
        "module:function",
        {"steps": 3},
        work=Path("runs/pretrain-1"),
        sizes=[2],
        on_report=lambda metrics: None,
        on_note=notes.append,
    )
    assert notes == ["module:function of ['steps'] in runs/pretrain-1"]
    assert Cluster.made["address"] == "10.0.0.1:6379"
    assert Cluster.made["traces"] == Path("runs/pretrain-1")
    assert Cluster.made["training_workers"] == backend.training_workers == 2


def test_a_profile_without_an_address_takes_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(on_ray, "RayBackend", Cluster)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    profile = load_profile(Path("infra/profiles"), "laptop").model_copy(
        update={"map_backend": "ray"}
    )
    list(make_backend(profile, LOCAL, work=Path("runs"), on_wait=print).map(abs, [-3]))
    assert Cluster.made["address"] == "10.0.0.2:6379"


def test_units_of_work_go_where_the_profile_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "RayBackend", Cluster)
    profile = load_profile(Path("infra/profiles"), "laptop")
    here = make_backend(profile, LOCAL, work=Path("runs"), on_wait=print)
    assert list(here.map(abs, [-3])) == [3]
    there = profile.model_copy(update={"map_backend": "ray"})
    found: Any = make_backend(there, LOCAL, work=Path("runs"), on_wait=print).map(abs, [-3])
    assert list(found) == [("on the cluster", 3)]
