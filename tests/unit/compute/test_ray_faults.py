"""Faults of a cluster are told in words: what may pass is tried again, a wrong token is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from polylm_core.compute import on_ray, ray_machines
from polylm_core.compute.on_ray import RayBackend
from polylm_core.compute.ray_faults import in_words
from polylm_core.compute.ray_machines import Patience, choose
from polylm_core.errors import InfrastructureError, MachineError, SourceError

ADDRESS = "head.example:6379"
JOINED = RayBackend(
    address=ADDRESS, training_workers=1, threads_per_worker=1, use_gpu=False, private_cpus=2
)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def raising(error: Exception) -> Any:
    def call(*_: Any, **__: Any) -> None:
        raise error

    return call


def square(number: int) -> int:
    return number * number


NO_TOKEN = ray.exceptions.AuthenticationError("Token authentication is enabled but no token found")
REFUSED = RuntimeError("InvalidAuthToken: Authentication token is missing or incorrect")
FAULTS: dict[str, tuple[Exception, str, bool]] = {
    "nobody there": (ConnectionError("Ray cannot be found"), "no Ray cluster answers at", True),
    "too slow": (TimeoutError("GCS did not answer"), "no Ray cluster answers at", True),
    "no machine": (RuntimeError("No node info found"), "no Ray cluster answers at", True),
    "call failed": (ray.exceptions.RpcError("14 UNAVAILABLE"), "no Ray cluster answers at", True),
    "no token": (NO_TOKEN, "does not take this token.*RAY_AUTH_TOKEN_PATH", False),
    "wrong token": (REFUSED, "does not take this token", False),
    "wrong token behind another": (caused(ConnectionError("Failed"), REFUSED), "token", False),
    "no address": (ValueError("Malformed address port x"), "is no address of a Ray", False),
    "other Ray": (RuntimeError("Version mismatch: it has\n Ray: 2.9"), "another Ray.*2.9", False),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_cluster_that_is_not_joined_says_whether_it_may_be_later(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, told, may_pass = FAULTS[fault]
    monkeypatch.setattr(ray, "init", raising(error))
    with pytest.raises(MachineError, match=told) as caught:
        list(JOINED.map(square, [1]))
    assert isinstance(caught.value, InfrastructureError) is may_pass
    assert ADDRESS in str(caught.value)


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that has let this process in, and does no more."""
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(on_ray, "choose", lambda *_: 1)


@pytest.mark.usefixtures("joined")
@pytest.mark.parametrize(
    ("error", "may_pass"), [(ray.exceptions.RpcError("14 UNAVAILABLE"), True), (NO_TOKEN, False)]
)
def test_a_cluster_that_fails_while_machines_are_asked_for_is_told(
    error: Exception, may_pass: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "choose", raising(error))
    with pytest.raises(MachineError, match=ADDRESS) as caught:
        list(JOINED.map(square, [1]))
    assert isinstance(caught.value, InfrastructureError) is may_pass


@pytest.mark.usefixtures("joined")
def test_a_unit_that_is_lost_with_its_machines_may_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remote = SimpleNamespace(remote=lambda *_: None)
    monkeypatch.setattr(ray, "remote", lambda **_: lambda _: remote)
    monkeypatch.setattr(ray, "get", raising(ray.exceptions.NodeDiedError("the node died")))
    with pytest.raises(InfrastructureError, match=r"lost 4 times .*the node died"):
        list(JOINED.map(square, [1]))


def test_an_error_of_the_work_itself_passes_as_it_is() -> None:
    defect = ray.exceptions.RayTaskError("square", "Traceback", KeyError("x"))
    with pytest.raises(ray.exceptions.RayTaskError), in_words("the cluster"):
        raise defect
    with pytest.raises(SourceError), in_words("the cluster"):
        raise SourceError("line 3")


def test_machines_that_do_not_come_in_time_may_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def claimed(*_: Any) -> Iterator[Any]:
        yield SimpleNamespace(wait=lambda _: False)

    monkeypatch.setattr(ray_machines, "claimed", claimed)
    monkeypatch.setattr(ray_machines, "account", lambda: "")
    monkeypatch.setattr(ray_machines, "_resources", lambda: ({}, {}))
    patience = Patience(full_size_seconds=0, machines_seconds=0)
    with pytest.raises(InfrastructureError, match=r"2 ranks need CPU 2, .* after 0 s"):
        choose({"CPU": 1}, [4, 2], patience, print)
