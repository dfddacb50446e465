"""Prefect for real: its UI in a browser, and what its death does to a stage (nothing)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from polylm_core.pipeline import STAGES
from tests.clone import Clone

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = pytest.mark.timeout(900)
MOST_SECONDS_AFTER_PUBLISHING = 20.0


@pytest.fixture
def page(clone: Clone) -> Iterator[object]:
    """A page of headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser.new_page(viewport={"width": 1280, "height": 2400})
        browser.close()


def ui(clone: Clone) -> str:
    return f"http://127.0.0.1:{clone.environment['PREFECT_SERVER_API_PORT']}"


def test_the_ui_shows_the_runs_of_all_stages_as_completed(
    clone: Clone, page: object, tmp_path: Path
) -> None:
    page.goto(f"{ui(clone)}/runs")
    page.get_by_text("report-", exact=False).first.wait_for(timeout=30_000)
    text = page.inner_text("body")
    page.screenshot(path=tmp_path / "runs.png")
    for stage in STAGES:
        assert f"{stage}-" in text
    assert text.count("Completed") >= len(STAGES)
    assert "repro-" in text


def test_the_ui_shows_progress_and_the_result_table_of_a_stage(clone: Clone, page: object) -> None:
    page.goto(provenance(clone, "vocab")["flow_run_url"])
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("vocab-fertility", exact=True).first.wait_for(timeout=30_000)
    text = page.inner_text("body")
    assert "vocab-learn-vocabulary" in text
    assert "PROGRESS" in text.upper()
    page.get_by_text("vocab-fertility", exact=True).first.click()
    page.get_by_text("tha_Thai", exact=True).first.wait_for(timeout=30_000)


def test_a_server_that_dies_in_mid_stage_does_not_hurt_the_stage(clone: Clone) -> None:
    shutil.rmtree(clone.path / "data/02_shards")
    (clone.path / "dvc.lock").unlink()
    process = clone.start("python", "-m", "flows.curate")
    wait_for_task(clone)
    server = json.loads((clone.path / ".prefect/polylm-server.json").read_text())
    os.killpg(server["pid"], signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    ended = time.time()
    published = (clone.path / "data/02_shards/manifest.json").stat().st_mtime
    assert process.returncode == 0, output
    assert ended - published < MOST_SECONDS_AFTER_PUBLISHING
    assert "Traceback" not in output
    assert clone.repro()[0] == 0


def wait_for_task(clone: Clone) -> None:
    """Wait until the stage is at work: its partial folder exists."""
    deadline = time.monotonic() + 60
    while not (clone.path / "data/.02_shards.partial").exists():
        assert time.monotonic() < deadline, "the stage did not start"
        time.sleep(0.05)


def provenance(clone: Clone, stage: str) -> dict[str, str]:
    """Return what a stage's last run left of itself."""
    files = sorted((clone.path / "runs").glob(f"{stage}-*/provenance.json"))
    content: dict[str, str] = json.loads(files[-1].read_text())
    return content
