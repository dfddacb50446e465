"""Where to look, as Prefect's UI shows it."""

from __future__ import annotations

from pathlib import Path

from flows._links import text
from polylm_core.settings import Profile, Storage

ROOT = Path("/checkout")


def test_a_cluster_has_a_dashboard_and_a_bucket_the_records() -> None:
    storage = Storage(payloads="s3://bucket/polylm")
    shown = text(ROOT, "repro-x", Profile(ray_address="ray://head:10001", storage=storage))
    assert "[http://head:8265](http://head:8265)" in shown
    assert "file:///checkout/data/10_report/report.html" in shown
    assert "`s3://bucket/polylm/runs/`" in shown
    assert "`repro-x`" in shown


def test_a_private_ray_has_none() -> None:
    assert "none: the stages start a private Ray" in text(ROOT, "repro-x", Profile())
