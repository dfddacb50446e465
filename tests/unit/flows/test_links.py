"""Where to look, as Prefect's UI shows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flows._links import text
from polylm_core.settings import Profile, Storage

ROOT = Path("/checkout")


def links(*, environment: Mapping[str, str] | None = None, **profile: Any) -> str:
    on_ray = Profile.model_validate({"map_backend": "ray"} | profile)
    return text(ROOT, "repro-x", on_ray, environment or {})


def test_a_cluster_has_a_dashboard_and_a_bucket_the_records() -> None:
    storage = Storage(payloads="s3://bucket/polylm")
    shown = links(ray_address="ray://head:10001", storage=storage)
    assert "[http://head:8265](http://head:8265)" in shown
    assert "file:///checkout/data/10_report/report.html" in shown
    assert "`s3://bucket/polylm/runs/`" in shown
    assert "`repro-x`" in shown


@pytest.mark.parametrize(
    ("address", "url"),
    [("head.example:6379", "http://head.example:8265"), ("[::1]:6379", "http://[::1]:8265")],
)
def test_the_cluster_that_the_environment_names_is_shown(address: str, url: str) -> None:
    assert f"[{url}]({url})" in links(environment={"RAY_ADDRESS": address})
    assert "[http://mine:8265]" in links(
        ray_address="mine:6379", environment={"RAY_ADDRESS": address}
    )


def test_a_cluster_that_ray_finds_by_itself_has_no_link() -> None:
    for shown in (links(ray_address="auto"), links(environment={"RAY_ADDRESS": "auto"})):
        assert "port 8265 of the head of the cluster" in shown
        assert "http" not in shown


@pytest.mark.parametrize("address", [None, "", "local"])
def test_a_private_ray_has_none(address: str | None) -> None:
    assert "none: the stages start a private Ray" in links(ray_address=address)


def test_stages_without_ray_have_none_whatever_the_environment_says() -> None:
    local = Profile.model_validate({"training": {"backend": "local"}})
    shown = text(ROOT, "repro-x", local, {"RAY_ADDRESS": "head:6379"})
    assert "none: the stages use no Ray" in shown
